import { malformed } from './problem.js';

/** A path of the API under which the rest of the request target names bytes, not text. */
const FILE_TARGET = /^(\/receipts\/[^/?#]+\/files\/)([^?#]*)(.*)$/su;

/**
 * Hides the percent-encoding of a file's path from the router, which takes it for UTF-8: a name that is not
 * would be refused, and an encoded slash could not be told from a plain one.
 */
export function protectFilePath(requestTarget: string): string {
  const parts = FILE_TARGET.exec(requestTarget);
  if (parts === null) return requestTarget;
  const [, prefix = '', path = '', rest = ''] = parts;
  return `${prefix}${path.replaceAll('%', '%25')}${rest}`;
}

/**
 * Decodes the percent-encoding of RFC 3986 section 2.1 into bytes.
 * @throws ProblemError with status 400 for a `%` that no two hexadecimal digits follow.
 */
export function decodePath(encoded: string): Uint8Array {
  if (/%(?![0-9A-Fa-f]{2})/u.test(encoded))
    throw malformed('The path is not percent-encoded properly (RFC 3986, 2.1).', { field: 'path' });
  const parts = encoded.split(/%([0-9A-Fa-f]{2})/u);
  return Buffer.concat(parts.map((part, index) => Buffer.from(part, index % 2 === 1 ? 'hex' : 'utf8')));
}

/** A Content-Disposition (RFC 6266, with filename* of RFC 8187) that saves under the last name of a path. */
export function attachmentOf(path: Uint8Array): string {
  const text = Buffer.from(path).toString('utf8');
  const name = text.slice(text.lastIndexOf('/') + 1);
  const fallback = name.replace(/[^A-Za-z0-9._ -]/gu, '_');
  return `attachment; filename="${fallback}"; filename*=UTF-8''${encodeExtended(name)}`;
}

/** `value-chars` of RFC 8187: encodeURIComponent leaves four characters that are not allowed there. */
function encodeExtended(text: string): string {
  return encodeURIComponent(text).replace(
    /['()*]/gu,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
