import { type FileHandle, open } from 'node:fs/promises';

import { GlasshouseError } from '../base/errors.js';
import { type ObservedEvent } from '../profilers/profiler.js';

const BATCH_BYTES = 64 * 1024;

/** A file of events, one JSON object a line. */
export class EventsFile {
  readonly name: string;
  readonly #handle: FileHandle;
  #lines: string[] = [];
  #length = 0;

  private constructor(name: string, handle: FileHandle) {
    this.name = name;
    this.#handle = handle;
  }

  /** Replaces what is there. Throws `invalid_request` when it cannot be written. */
  static async create(name: string): Promise<EventsFile> {
    try {
      return new EventsFile(name, await open(name, 'w', 0o600));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new GlasshouseError('invalid_request', `--events ${name} cannot be written: ${reason}`, {
        cause,
      });
    }
  }

  /** Resolves when there is room for more; rejects with the system error of an earlier line. */
  async write(event: ObservedEvent): Promise<void> {
    const line = `${JSON.stringify(event)}\n`;
    this.#lines.push(line);
    this.#length += line.length;
    if (this.#length >= BATCH_BYTES) await this.#flush();
  }

  async close(): Promise<void> {
    try {
      await this.#flush();
    } finally {
      await this.#handle.close();
    }
  }

  async #flush(): Promise<void> {
    const lines = this.#lines.join('');
    this.#lines = [];
    this.#length = 0;
    // At the position of the descriptor, so that a pipe and /dev/fd/N work as well.
    await this.#handle.writeFile(lines);
  }
}
