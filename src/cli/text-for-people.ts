import { type Text, textToBytes } from '../receipts/text.js';

/**
 * A text of a receipt; not yet safe for a terminal. Different texts look different: one that would look like bytes in
 * base64, or like a quoted one, is quoted.
 */
export function textForPeople(text: Text): string {
  if (typeof text !== 'string') return `base64:${text.base64}`;
  return /^(?:base64:|")/.test(text) ? JSON.stringify(text) : text;
}

/** A command line that a reader could type: arguments with anything special in them are quoted. */
export function commandForPeople(argv: readonly Text[]): string {
  return argv.map(wordForPeople).join(' ');
}

function wordForPeople(word: Text): string {
  if (typeof word !== 'string') return `$'${escapedBytes(textToBytes(word))}'`;
  return /^[\w@%+=:,./[\]-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** As ANSI-C quoting of shells takes them. */
function escapedBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => {
    const character = String.fromCharCode(byte);
    return /[\w@%+=:,./[\]-]/.test(character) ? character : `\\x${byte.toString(16).padStart(2, '0')}`;
  }).join('');
}
