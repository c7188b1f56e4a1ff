import { closeSync, constants, fdatasync, openSync } from 'node:fs';

import { asGlasshouseError } from '../base/errors.js';

/**
 * Brings a file onto the disk without anybody waiting for it: what was written to SQLite's write-ahead log by a
 * transaction that did not (synchronous=NORMAL). SQLite holds no lock on that file that closing it could drop.
 */
export class BackgroundSync implements Disposable {
  readonly #file: string;
  readonly #delayMs: number;
  #descriptor: number | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isSyncing = false;
  #isDisposed = false;

  /** @param delayMs what is synced in so many milliseconds by somebody else need not be synced here. */
  constructor(file: string, delayMs: number) {
    this.#file = file;
    this.#delayMs = delayMs;
  }

  /** What is in the file now will be on the disk soon. That it cannot be is a warning; the next commit fails of it. */
  request(): void {
    if (this.#timer !== null || this.#isDisposed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      // What came after it began is not on the disk when it ends.
      if (this.#isSyncing) this.request();
      else this.#begin();
    }, this.#delayMs);
    // Nobody has to stay for it: SQLite syncs what is closed.
    this.#timer.unref();
  }

  /** Everything that is in the file is on the disk. */
  synced(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** One that runs comes to its end. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.synced();
    if (!this.#isSyncing) this.#close();
  }

  #begin(): void {
    try {
      this.#descriptor ??= openSync(this.#file, constants.O_RDWR);
    } catch (thrown) {
      process.emitWarning(asGlasshouseError(thrown));
      return;
    }
    this.#isSyncing = true;
    fdatasync(this.#descriptor, (error) => {
      this.#isSyncing = false;
      if (error !== null) process.emitWarning(asGlasshouseError(error));
      if (this.#isDisposed) this.#close();
    });
  }

  #close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }
}
