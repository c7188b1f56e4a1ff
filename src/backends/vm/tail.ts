import { type Readable } from 'node:stream';

import { printableTail } from '../../base/printable.js';

/** Of the guest's console and the monitor's messages, each. */
const KEPT_BYTES = 16_384;
const LAST_WORDS_LENGTH = 500;

/** The last bytes of what a guest may fill without end. */
export class Tail {
  #bytes = Buffer.alloc(0);

  /** Of what is added; of a stream, all that comes is. */
  constructor(stream: Readable | null = null) {
    stream?.on('data', (chunk: Buffer) => {
      this.add(chunk);
    });
  }

  add(chunk: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]).subarray(-KEPT_BYTES);
  }

  get isEmpty(): boolean {
    return this.#bytes.length === 0;
  }

  get text(): string {
    return this.#bytes.toString('utf8');
  }
}

/** The ends of several streams in one line, made printable. */
export function lastWords(tails: readonly Tail[]): string {
  return tails
    .map(({ text }) => printableTail(text, LAST_WORDS_LENGTH))
    .filter((words) => words !== '')
    .join(' | ');
}
