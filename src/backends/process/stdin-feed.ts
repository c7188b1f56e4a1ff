import { systemErrorCode } from '../../base/errors.js';
import { PipeWriter } from '../../base/pipe-writer.js';

/** Copies a source of bytes into the program's stdin, no faster than the program reads. */
export class StdinFeed {
  /**
   * Resolves when all has been written, the program reads no more, or after close(); rejects when the source fails.
   * The program's stdin is then at its end.
   */
  readonly finished: Promise<void>;
  readonly #writer: PipeWriter;
  readonly #iterator: AsyncIterator<Uint8Array>;
  #closing = false;

  /** Owns `descriptor`, the writing end of a pipe, from here on. */
  constructor(descriptor: number, source: AsyncIterable<Uint8Array>) {
    this.#writer = new PipeWriter(descriptor);
    this.#iterator = source[Symbol.asyncIterator]();
    this.finished = this.#run();
    // The owner listens from the moment when the program runs.
    this.finished.catch(() => undefined);
  }

  /** Ends the program's stdin and lets go of the source, also while the source has nothing to give. Idempotent. */
  async close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      // Not awaited: an async generator answers return() only after its pending next(), which may never come.
      this.#iterator.return?.().catch(() => undefined);
    }
    await this.#writer.close();
  }

  async #run(): Promise<void> {
    try {
      for (let next = await this.#iterator.next(); next.done !== true; next = await this.#iterator.next()) {
        if (this.#closing || !(await this.#write(next.value))) break;
      }
    } catch (error) {
      if (!this.#closing) throw error;
    } finally {
      await this.close();
    }
  }

  /** False when nobody reads any more, which is the program's right. */
  async #write(chunk: Uint8Array): Promise<boolean> {
    try {
      await this.#writer.write(chunk);
      return true;
    } catch (error) {
      if (this.#closing || systemErrorCode(error) === 'EPIPE') return false;
      throw error;
    }
  }
}
