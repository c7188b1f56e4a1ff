import { isBase64 } from './base64.js';
import { isJsonObject, type JsonValue } from './json-value.js';
import { type Predicate } from './receipt.js';

/** Hexadecimal digits of a mark: the first 128 bits of an HMAC-SHA256. */
export const MARK_DIGITS = 32;

/** What stands in a receipt where a secret stood. The same secret has the same mark in all receipts of one key. */
export const REDACTION_MARK = new RegExp(`\\[redacted:[0-9a-f]{${MARK_DIGITS}}\\]`);

/** The mark of a secret, from the hexadecimal digits of its keyed hash. */
export function redactionMark(digits: string): string {
  return `[redacted:${digits.slice(0, MARK_DIGITS)}]`;
}

/**
 * JSON pointers (RFC 6901), from the predicate, of every text with a mark in it, sorted by code units. The list follows
 * from the rest of the predicate, so that a verifier can demand it.
 */
export function redactedFieldsOf(predicate: Omit<Predicate, 'redaction'>): string[] {
  const found: string[] = [];
  for (const [name, value] of Object.entries(predicate) as [string, JsonValue][]) {
    if (name !== 'redaction' && hasMark(value)) collect(value, `/${name}`, found);
  }
  return found.sort((a, b) => (a < b ? -1 : 1));
}

/** Most parts of most receipts have none: only for the others are pointers made. */
function hasMark(value: JsonValue): boolean {
  if (typeof value === 'string') return REDACTION_MARK.test(value);
  if (Array.isArray(value)) return (value as readonly JsonValue[]).some(hasMark);
  if (!isJsonObject(value)) return false;
  const encoded = onlyBase64(value);
  // One character for each byte; marks are ASCII.
  if (encoded !== null) return REDACTION_MARK.test(atob(encoded));
  return Object.values(value).some(hasMark);
}

function collect(value: JsonValue, pointer: string, found: string[]): void {
  if (typeof value === 'string') {
    if (REDACTION_MARK.test(value)) found.push(pointer);
  } else if (Array.isArray(value)) {
    (value as readonly JsonValue[]).forEach((item, index) => {
      collect(item, `${pointer}/${index}`, found);
    });
  } else if (isJsonObject(value)) {
    if (onlyBase64(value) !== null) {
      if (hasMark(value)) found.push(pointer);
      return;
    }
    for (const [name, member] of Object.entries(value)) collect(member, `${pointer}/${escaped(name)}`, found);
  }
}

/** The base64 of a Text that is not UTF-8; null for every other object. */
function onlyBase64(value: Readonly<Record<string, JsonValue>>): string | null {
  const encoded = value['base64'];
  return typeof encoded === 'string' && Object.keys(value).length === 1 && isBase64(encoded) ? encoded : null;
}

/** RFC 6901 section 3. */
function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
