import { Socket } from 'node:net';

/** Writes to a non-blocking pipe without a thread that waits in write(2). */
export class PipeWriter implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #closed: Promise<void>;
  #closing = false;

  /** Owns `descriptor` from here on. */
  constructor(descriptor: number) {
    this.#socket = new Socket({ fd: descriptor, readable: false, writable: true });
    // Every failure also reaches the callback of the write() that met it.
    this.#socket.on('error', () => undefined);
    this.#closed = new Promise((resolve) => this.#socket.once('close', resolve));
  }

  /**
   * Resolves when the pipe has taken all of it. Rejects with a system error: EPIPE when nobody can read it, ECANCELED
   * when close() came first.
   */
  write(chunk: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(chunk, (error) => {
        // A socket that is destroyed reports what it did not write as written.
        if (this.#closing) reject(Object.assign(new Error('closed while writing'), { code: 'ECANCELED' }));
        else if (error) reject(error);
        else resolve();
      });
    });
  }

  /** Closes the pipe: the reader sees the end of the file. A write that is under way is given up. Idempotent. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#socket.destroy();
    await this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
