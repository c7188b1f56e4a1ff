import { readSync } from 'node:fs';
import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';

import { systemErrorCode } from './errors.js';

const CHUNK_BYTES = 64 * 1024;
/** No pipe holds more (fs.pipe-max-size is 1 MiB unless root raised it): where drain() stops at the latest. */
const DRAIN_BYTES = 64 * 1024 * 1024;

/**
 * Reads a non-blocking pipe and hands it on chunk by chunk, never reading ahead of `deliver`. No thread waits in
 * read(2), so that an abandoned reader cannot hold up the end of the process.
 */
export class PipeReader {
  /** Resolves at end of file, after drain() or after close(); rejects as `deliver` did. The pipe is then closed. */
  readonly finished: Promise<void>;
  readonly #descriptor: number;
  readonly #deliver: (chunk: Uint8Array) => Promise<void>;
  readonly #buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  readonly #socket: Socket;
  readonly #closed: Promise<void>;
  #abandon: () => void = () => undefined;
  readonly #abandoned = new Promise<void>((resolve) => {
    this.#abandon = (): void => {
      resolve();
    };
  });
  /** Takes the next chunk, or null for no more; set while the reader waits for the program. */
  #waiting: ((chunk: Buffer | null) => void) | null = null;
  #draining = false;
  #ended = false;

  /** Owns `descriptor` from here on. `deliver` may keep the chunks that it gets. */
  constructor(descriptor: number, deliver: (chunk: Uint8Array) => Promise<void>) {
    this.#descriptor = descriptor;
    this.#deliver = deliver;
    const options: SocketConstructorOpts & ConnectOpts = {
      fd: descriptor,
      readable: true,
      writable: false,
      // One buffer for all reads: what is delivered is a copy of exactly its size.
      onread: { buffer: this.#buffer, callback: (bytes) => this.#take(bytes) },
    };
    this.#socket = new Socket(options);
    this.#socket.on('error', () => {
      this.#end();
    });
    this.#socket.on('end', () => {
      this.#end();
    });
    this.#closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.finished = this.#run();
    // Whoever owns the reader awaits `finished` when the program has ended; until then nobody listens.
    this.finished.catch(() => undefined);
  }

  /** Delivers what the pipe holds now and finishes, also when somebody still has the other end open. */
  drain(): void {
    this.#draining = true;
    this.#socket.pause();
    this.#waiting?.(null);
  }

  /** Finishes at once; what has not been delivered is lost, and a running `deliver` is not waited for. */
  close(): void {
    this.#end();
    this.#abandon();
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        const chunk = await this.#next();
        if (chunk === null) break;
        await this.#pass(chunk);
      }
      if (this.#draining) await this.#passRest();
    } finally {
      this.#socket.destroy();
      await this.#closed;
    }
  }

  #pass(chunk: Buffer): Promise<void> {
    return Promise.race([this.#deliver(chunk), this.#abandoned]);
  }

  #next(): Promise<Buffer | null> {
    if (this.#ended || this.#draining) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.#waiting = (chunk): void => {
        this.#waiting = null;
        resolve(chunk);
      };
      this.#socket.resume();
    });
  }

  /** Returning false stops the reading until the next resume(). */
  #take(bytes: number): boolean {
    this.#waiting?.(Buffer.from(this.#buffer.subarray(0, bytes)));
    return false;
  }

  #end(): void {
    this.#ended = true;
    this.#waiting?.(null);
  }

  async #passRest(): Promise<void> {
    for (let total = 0; total < DRAIN_BYTES && !this.#ended;) {
      const bytes = this.#readNow();
      if (bytes === 0) return;
      total += bytes;
      await this.#pass(Buffer.from(this.#buffer.subarray(0, bytes)));
    }
  }

  /** 0 at the end of file, and when there is nothing to read at this moment. */
  #readNow(): number {
    try {
      return readSync(this.#descriptor, this.#buffer);
    } catch (error) {
      if (systemErrorCode(error) === 'EAGAIN') return 0;
      throw error;
    }
  }
}
