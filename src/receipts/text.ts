import { decodeBase64, encodeBase64 } from './base64.js';

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Text that somebody else chose (a path, an argument): a string when the bytes are UTF-8, else the bytes in base64.
 * Each sequence of bytes has exactly one such form.
 */
export type Text = string | { readonly base64: string };

/** The one Text of these bytes. */
export function textFromBytes(bytes: Uint8Array): Text {
  return decodeUtf8(bytes) ?? { base64: encodeBase64(bytes) };
}

/**
 * The Text of a JavaScript string. A string with a lone surrogate has no UTF-8 form; its UTF-16 code units, the
 * surrogates as three bytes each (WTF-8), are kept in base64 so that nothing is replaced in silence.
 */
export function textFromString(value: string): Text {
  return isWellFormed(value) ? value : { base64: encodeBase64(encodeWtf8(value)) };
}

/** The bytes that a Text stands for. Throws `receipt_invalid` for malformed base64. */
export function textToBytes(text: Text): Uint8Array {
  return typeof text === 'string' ? ENCODER.encode(text) : decodeBase64(text.base64);
}

/** The string of valid UTF-8, a byte order mark kept as U+FEFF; null for anything else. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  const text = DECODER.decode(bytes);
  // It may be there because it was written: then the bytes are those of the text. A fatal decoder throws, at 20 times the cost.
  return !text.includes('\ufffd') || isEncodingOf(text, bytes) ? text : null;
}

function isEncodingOf(text: string, bytes: Uint8Array): boolean {
  const encoded = ENCODER.encode(text);
  return encoded.length === bytes.length && encoded.every((byte, index) => bytes[index] === byte);
}

/** Whether every surrogate is half of a pair: only then has the string a UTF-8 form. */
export function isWellFormed(value: string): boolean {
  return value.isWellFormed();
}

/**
 * Text of unknown origin, quoted for a message: printable ASCII only, everything else escaped, cut at 80 characters.
 * Safe in a terminal and in a log line.
 */
export function quote(text: string): string {
  const shown = text.length > 80 ? `${text.slice(0, 80)}...` : text;
  return JSON.stringify(shown).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function encodeWtf8(value: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of value) {
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0xd800 && code <= 0xdfff) bytes.push(0xed, 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    else bytes.push(...ENCODER.encode(character));
  }
  return Uint8Array.from(bytes);
}
