import { asGlasshouseError, type GlasshouseError } from '../base/errors.js';
import { type DroppedOutputs, type ReceiptStore } from '../receipts/store.js';

export interface RetentionOptions {
  readonly store: Pick<ReceiptStore, 'dropOutputs'>;
  /** Milliseconds that outputs are kept; null: for ever. */
  readonly maxAgeMs: number | null;
  /** Bytes of outputs that are kept, all together; null: any number. */
  readonly maxBytes: number | null;
  /** Between the end of one round and the beginning of the next. */
  readonly intervalMs: number;
  readonly onDropped: (dropped: DroppedOutputs) => void;
  readonly onFailed: (error: GlasshouseError) => void;
}

/** Drops old outputs now and again for as long as a server runs; dispose waits for the round that is under way. */
export class Retention implements AsyncDisposable {
  readonly #options: RetentionOptions;
  #timer: NodeJS.Timeout | null = null;
  #round: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
    if (options.maxAgeMs !== null || options.maxBytes !== null) this.#begin();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#round;
  }

  #begin(): void {
    this.#round = this.#drop().then(() => {
      if (this.#ended) return;
      this.#timer = setTimeout(() => {
        this.#begin();
      }, this.#options.intervalMs);
    });
  }

  /** A round that fails is reported and tried again at the next one. */
  async #drop(): Promise<void> {
    const { store, maxAgeMs, maxBytes, onDropped, onFailed } = this.#options;
    try {
      const olderThanMs = maxAgeMs === null ? null : Date.now() - maxAgeMs;
      const dropped = await store.dropOutputs({ olderThanMs, maxBytes });
      if (dropped.receipts > 0) onDropped(dropped);
    } catch (error) {
      onFailed(asGlasshouseError(error));
    }
  }
}
