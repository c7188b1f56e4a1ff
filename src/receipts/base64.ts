import { GlasshouseError } from '../base/errors.js';

const DIGITS = new TextEncoder().encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const PADDING = 0x3d;
const DECODER = new TextDecoder();
/** What a decoder puts where bytes are not UTF-8. */
const REPLACEMENT = '\ufffd';

/**
 * The last four characters when there is padding; before it only those digits whose unused bits are zero, so that no
 * two strings stand for the same bytes (RFC 4648 section 3.5).
 */
const PADDED_END = /^(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)$/;

/** RFC 4648 section 4: the standard alphabet, padded. */
export function encodeBase64(bytes: Uint8Array): string {
  const text = DECODER.decode(bytes);
  // Any other sequence of bytes becomes fewer characters than it has bytes, or is replaced.
  const isAscii = text.length === bytes.length && !text.includes(REPLACEMENT);
  return isAscii ? btoa(text) : encodeDigits(bytes);
}

/** By hand: btoa() takes a character for each byte, and to make that string costs more than the digits. */
function encodeDigits(bytes: Uint8Array): string {
  const text = new Uint8Array(4 * Math.ceil(bytes.length / 3));
  for (let from = 0, to = 0; from < bytes.length; from += 3, to += 4) {
    const group = ((bytes[from] ?? 0) << 16) | ((bytes[from + 1] ?? 0) << 8) | (bytes[from + 2] ?? 0);
    text[to] = DIGITS[group >> 18] ?? 0;
    text[to + 1] = DIGITS[(group >> 12) & 63] ?? 0;
    text[to + 2] = DIGITS[(group >> 6) & 63] ?? 0;
    text[to + 3] = DIGITS[group & 63] ?? 0;
  }
  const rest = bytes.length % 3;
  if (rest > 0) text.fill(PADDING, text.length - 3 + rest);
  return DECODER.decode(text);
}

/** Whether this is exactly what encodeBase64 makes of some bytes. */
export function isBase64(text: string): boolean {
  if (text.length % 4 !== 0) return false;
  const foreign = text.search(/[^A-Za-z0-9+/]/);
  return foreign === -1 || (foreign >= text.length - 2 && PADDED_END.test(text.slice(-4)));
}

/** The bytes of canonical base64; throws `receipt_invalid` for anything else. */
export function decodeBase64(text: string): Uint8Array {
  if (!isBase64(text)) {
    throw new GlasshouseError('receipt_invalid', 'A base64 value is not in canonical form.');
  }
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < bytes.length; index += 1) bytes[index] = binary.charCodeAt(index);
  return bytes;
}
