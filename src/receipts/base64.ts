import { GlasshouseError } from '../base/errors.js';

const PIECE_BYTES = 0x8000; // String.fromCharCode takes its bytes as arguments; stacks are small

/**
 * The last four characters when there is padding; before it only those digits whose unused bits are zero, so that no
 * two strings stand for the same bytes (RFC 4648 section 3.5).
 */
const PADDED_END = /^(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)$/;

/** RFC 4648 section 4: the standard alphabet, padded. */
export function encodeBase64(bytes: Uint8Array): string {
  let binary = '';
  for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
    const piece: ArrayLike<number> = bytes.subarray(start, start + PIECE_BYTES);
    binary += String(Reflect.apply(String.fromCharCode, null, piece)); // far faster than spreading typed arrays
  }
  return btoa(binary);
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
