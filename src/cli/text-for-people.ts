import { type Text } from '../receipts/receipt.js';

/** A text of a receipt; not yet safe for a terminal. */
export function textForPeople(text: Text): string {
  return typeof text === 'string' ? text : `base64:${text.base64}`;
}

/** A command line that a reader could type: arguments with anything special in them are quoted. */
export function commandForPeople(argv: readonly Text[]): string {
  return argv
    .map(textForPeople)
    .map((word) => (/^[\w@%+=:,./[\]-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`))
    .join(' ');
}
