import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { asGlasshouseError, GlasshouseError, systemErrorCode } from '../base/errors.js';
import { type Checkpoint, parseCheckpoint } from './checkpoint.js';

const FILE_NAME = 'log-head';

export interface RememberedHead {
  readonly text: string;
  readonly checkpoint: Checkpoint;
}

/**
 * The newest head of the log that was committed, in a file beside the database: a database of an earlier day that was
 * put back is told from it, and not continued. It may lag behind the database (it is written after the commit, without
 * waiting for the disk, and by several processes); it is never ahead of it.
 */
export class HeadMemory implements Disposable {
  readonly file: string;
  #descriptor: number | null = null;
  #length = 0;

  constructor(directory: string) {
    this.file = join(directory, FILE_NAME);
  }

  /**
   * Null when none is remembered, or the file was damaged, as a power cut can do. Whether the signature holds is for the
   * caller to say: the file may be read while another process writes it. Throws a system error.
   */
  recall(): RememberedHead | null {
    try {
      const text = readFileSync(this.file);
      return { text: text.toString(), checkpoint: parseCheckpoint(text) };
    } catch (thrown) {
      if (thrown instanceof GlasshouseError || systemErrorCode(thrown) === 'ENOENT') return null;
      throw thrown;
    }
  }

  /** A head that is on the disk. That it cannot be remembered is a warning: what was committed stays committed. */
  remember(note: string): void {
    try {
      this.#write(Buffer.from(note));
    } catch (thrown) {
      process.emitWarning(asGlasshouseError(thrown));
    }
  }

  [Symbol.dispose](): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  /** In place: a file that is truncated or replaced each time costs more than the commit. */
  #write(bytes: Uint8Array): void {
    this.#descriptor ??= openSync(this.file, constants.O_RDWR | constants.O_CREAT, 0o600);
    writeSync(this.#descriptor, bytes, 0, bytes.length, 0);
    if (bytes.length !== this.#length) ftruncateSync(this.#descriptor, bytes.length);
    this.#length = bytes.length;
  }
}
