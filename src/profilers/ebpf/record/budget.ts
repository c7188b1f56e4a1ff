import { type Text } from '../../../receipts/text.js';

/** Names of the fields, numbers and punctuation of one entry, roughly. */
const ENTRY_BYTES = 160;
/** Six digits and a comma. */
const ID_BYTES = 7;

/** How much of what was seen a receipt has room for. What does not fit is counted, by category. */
export class Budget {
  #left: number;
  readonly #omitted: Map<string, number>;

  /** `bytes` of JSON. Several budgets may count into one table. */
  constructor(bytes: number, omitted: Map<string, number>) {
    this.#left = bytes;
    this.#omitted = omitted;
  }

  /** Whether there is room for an entry with these texts; if not, it is counted as omitted. */
  takeEntry(category: string, ...texts: readonly (Text | null)[]): boolean {
    const bytes = texts.reduce((sum, text) => sum + jsonBytes(text), ENTRY_BYTES);
    return this.#take(bytes) || this.#refuse(category);
  }

  /** False, and counted as omitted, when there is no room however short the text of so many bytes is written. */
  mayTakeEntry(category: string, textBytes: number): boolean {
    return ENTRY_BYTES + textBytes <= this.#left || this.#refuse(category);
  }

  /** The same for one more text of an entry. */
  takeText(category: string, text: Text): boolean {
    return this.#take(jsonBytes(text)) || this.#refuse(category);
  }

  takeId(): boolean {
    return this.#take(ID_BYTES) || this.#refuse('process_references');
  }

  omit(category: string): void {
    this.#refuse(category);
  }

  #take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  #refuse(category: string): false {
    this.#omitted.set(category, (this.#omitted.get(category) ?? 0) + 1);
    return false;
  }
}

function jsonBytes(text: Text | null): number {
  return text === null ? 4 : Buffer.byteLength(JSON.stringify(text)) + 1;
}
