import { isWellFormed } from '../receipts/text.js';
import { type Span } from './span.js';

/** A shorter one may be a word that stands everywhere. */
export const SHORTEST_SWEPT = 8;
const MOST_SECRETS = 1_000;

/** Secrets that were found once by where they stood, and are then looked for everywhere. */
export class KnownSecrets {
  readonly #values = new Set<string>();

  add(secret: string): void {
    if (secret.length < SHORTEST_SWEPT || this.#values.size >= MOST_SECRETS) return;
    this.#values.add(secret);
    this.#values.add(percentEncoded(secret));
  }

  inText(text: string): Span[] {
    const spans: Span[] = [];
    for (const value of this.#values) {
      for (let at = text.indexOf(value); at !== -1; at = text.indexOf(value, at + value.length))
        spans.push({ start: at, end: at + value.length });
    }
    return spans;
  }
}

/** As it stands in a URL. */
function percentEncoded(secret: string): string {
  return isWellFormed(secret) ? encodeURIComponent(secret) : secret;
}
