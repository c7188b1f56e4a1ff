import { write } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import { systemErrorCode } from '../base/errors.js';

const writeAsync = promisify(write);
const LONGEST_PAUSE_MS = 32;

/**
 * Writes to a descriptor that we share with others as it is, blocking or not. Blocking, it keeps a thread of ours
 * waiting while nobody reads: for pipes, PipeWriter is better.
 */
export class DescriptorWriter {
  readonly #descriptor: number;
  #closed = false;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Resolves when all is written, or after close(); rejects with the system error. */
  async write(chunk: Uint8Array): Promise<void> {
    let pauseMs = 1;
    for (let offset = 0; offset < chunk.length && !this.#closed;) {
      const bytes = await this.#writeSome(chunk, offset);
      offset += bytes;
      if (bytes > 0) pauseMs = 1;
      else {
        await delay(pauseMs);
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      }
    }
  }

  /** Stops after the part that is being written; the descriptor stays open. */
  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  /** 0 when a non-blocking descriptor takes nothing now; Node.js cannot wait for one that it does not own. */
  async #writeSome(chunk: Uint8Array, offset: number): Promise<number> {
    try {
      return (await writeAsync(this.#descriptor, chunk, offset)).bytesWritten;
    } catch (error) {
      if (systemErrorCode(error) === 'EAGAIN') return 0;
      throw error;
    }
  }
}
