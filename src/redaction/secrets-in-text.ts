import { type SecretNames } from './secret-names.js';
import { type Span } from './span.js';

/** A name and what separates it from its value: `token=`, `"password": `, `X-Api-Key: `, `--secret=`. */
const NAME_AND_SEPARATOR =
  /(?<![\w.-])-{0,2}([A-Za-z_][\w.-]{0,63})\\{0,3}["']?\s{0,4}(?:=>|:=|[=:])\s{0,4}/g;

/**
 * What may follow, by what it begins with; the group is the value. All sticky. A run of backslashes is one step: to look
 * ahead at each of them would take the square of their number.
 */
const ESCAPED_QUOTED = /\\+(["'])((?:[^\\]|\\+(?!\\|\1))*)/y;
const DOUBLE_QUOTED = /"((?:[^"\\]|\\[^])*)/y;
const SINGLE_QUOTED = /'([^']*)/y;
const QUERY_VALUE = /[^\s"'`&#<>]+/y;
const BARE = /[^\s"'`;]+/y;
const REST_OF_LINE = /[^\r\n"'`]+/y;

/** Names of headers whose value goes on to the end of the line. */
const WHOLE_LINE = /^(?:proxy-)?authorization$|cookie$/i;
const SCHEME = /^(?:bearer|basic|digest|token|negotiate|apikey)(?:\s+|$)/i;

/** RFC 6750 section 2.1 and RFC 7617, without the name of the header in front. */
const CREDENTIALS = /(?<![A-Za-z0-9])(?:bearer|basic)\s{1,4}([A-Za-z0-9._~+/-]{8,}={0,2})/gi;

/** RFC 3986 section 3.2.1: the userinfo of a URL; up to the last @, for passwords that were not encoded. */
const USERINFO = /:\/\/([^\s/?#"'<>\\]*)@/g;
/** A password with a slash in it that was not encoded; a port is none. */
const BROKEN_USERINFO = /:\/\/([^\s/:@"'<>]{0,256}:(?!\d{1,5}\/)[^\s@"'<>]{1,256})@/g;

const SHORTEST_TOKEN = 16;

/** Values of secret-looking names. */
export function secretsByName(text: string, names: SecretNames): Span[] {
  if (!/[=:]/.test(text)) return [];
  const spans: Span[] = [];
  NAME_AND_SEPARATOR.lastIndex = 0;
  for (let match; (match = NAME_AND_SEPARATOR.exec(text)) !== null;) {
    const name = match[1] ?? '';
    if (!names.has(name)) continue;
    const isQuery = '?&'.includes(text[match.index - 1] ?? ' ');
    const value = valueAt(text, NAME_AND_SEPARATOR.lastIndex, isQuery, WHOLE_LINE.test(name));
    if (value === null) continue;
    const scheme =
      SCHEME.exec(text.slice(value.start, Math.min(value.end, value.start + 32)))?.[0].length ?? 0;
    spans.push({ start: value.start + scheme, end: value.end });
    // Nothing is looked at twice: no text makes this slow.
    NAME_AND_SEPARATOR.lastIndex = value.end;
  }
  return spans;
}

/** `Bearer ...` and `Basic ...` that stand alone; words of prose have no digit in them. */
export function secretsByScheme(text: string): Span[] {
  if (!/b(?:earer|asic)\s/i.test(text)) return [];
  return Array.from(text.matchAll(CREDENTIALS)).flatMap((match) => {
    const secret = match[1] ?? '';
    const end = match.index + match[0].length;
    return /\d/.test(secret) || secret.length >= 24 ? [{ start: end - secret.length, end }] : [];
  });
}

/** Passwords of URLs, and what stands alone before the @ and is too long for a user's name: a token. */
export function passwordsInUrls(text: string): Span[] {
  return userinfos(text).flatMap(({ start, colon, end }) => {
    if (colon !== -1) return [{ start: colon + 1, end }];
    return end - start < SHORTEST_TOKEN ? [] : [{ start, end }];
  });
}

/** What stands before the colon of userinfo, or before the @. */
export function usersInUrls(text: string): Span[] {
  return userinfos(text).map(({ start, colon, end }) => ({ start, end: colon === -1 ? end : colon }));
}

function userinfos(text: string): readonly (Span & { readonly colon: number })[] {
  if (!text.includes('://')) return [];
  return [...text.matchAll(USERINFO), ...text.matchAll(BROKEN_USERINFO)].map((match) => {
    const userinfo = match[1] ?? '';
    const start = match.index + '://'.length;
    const colon = userinfo.indexOf(':');
    return { start, colon: colon === -1 ? -1 : start + colon, end: start + userinfo.length };
  });
}

function valueAt(text: string, at: number, isQuery: boolean, wholeLine: boolean): Span | null {
  const bare = wholeLine ? REST_OF_LINE : isQuery ? QUERY_VALUE : BARE;
  for (const form of [ESCAPED_QUOTED, DOUBLE_QUOTED, SINGLE_QUOTED, bare]) {
    form.lastIndex = at;
    const match = form.exec(text);
    if (match === null) continue;
    const end = at + match[0].length;
    return { start: end - (match.at(-1) ?? '').length, end };
  }
  return null;
}
