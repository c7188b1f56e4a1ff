import { type GlasshouseError } from '../base/errors.js';
import { type NoteSigner } from './signed-note.js';
import { storeError } from './store-file.js';
import { type FinishedExecution, type ReceiptStore } from './store.js';

/** Receipts of one transaction. */
const LARGEST_BATCH = 64;

interface Waiting {
  readonly finished: FinishedExecution;
  readonly resolve: () => void;
  readonly reject: (error: GlasshouseError) => void;
}

/**
 * Stores and logs receipts. Those that are ready at the same time share one transaction and one signed head: that, and
 * not each receipt, is what costs a write to the disk.
 */
export class ReceiptWriter {
  readonly #store: ReceiptStore;
  readonly #signer: NoteSigner;
  readonly #waiting: Waiting[] = [];

  constructor(store: ReceiptStore, signer: NoteSigner) {
    this.#store = store;
    this.#signer = signer;
  }

  /**
   * Resolves when the receipt is durably stored and the log has it under a signed head. Rejects with what
   * ReceiptStore.append says of it: then what else was in the transaction is stored all the same; or throws: then not.
   */
  write(finished: FinishedExecution): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ finished, resolve, reject });
      // After all that this turn of the event loop still brings.
      if (this.#waiting.length === 1)
        setImmediate(() => {
          this.#commitAll();
        });
    });
  }

  /** Throws what would keep a receipt from being logged. */
  assertWorks(): void {
    this.#store.assertAppendable(this.#signer);
  }

  /** Logs what an older version of Glasshouse stored without a log. */
  logOlderReceipts(): void {
    if (!this.#store.log.isComplete) this.#store.append([], this.#signer);
  }

  #commitAll(): void {
    while (this.#waiting.length > 0) this.#commit(this.#waiting.splice(0, LARGEST_BATCH));
  }

  #commit(batch: readonly Waiting[]): void {
    try {
      const refusals = this.#store.append(
        batch.map(({ finished }) => finished),
        this.#signer,
      );
      for (const [index, { resolve, reject }] of batch.entries()) {
        const refusal = refusals[index] ?? null;
        if (refusal === null) resolve();
        else reject(refusal);
      }
    } catch (thrown) {
      for (const { reject } of batch) reject(storeError('store the receipt', thrown));
    }
  }
}
