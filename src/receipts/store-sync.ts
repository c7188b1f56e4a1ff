import { closeSync, constants, fdatasync, openSync } from 'node:fs';

import { asGlasshouseError } from '../base/errors.js';

/**
 * Brings a file onto the disk without anybody waiting for it: what was written to SQLite's write-ahead log by a
 * transaction that did not (synchronous=NORMAL). SQLite holds no lock on that file that closing it could drop.
 */
export class BackgroundSync implements Disposable {
  readonly #file: string;
  #descriptor: number | null = null;
  #state: 'idle' | 'syncing' | 'once more' = 'idle';
  #isDisposed = false;

  constructor(file: string) {
    this.#file = file;
  }

  /** What is in the file now will be on the disk soon. That it cannot be is a warning; the next commit fails of it. */
  request(): void {
    if (this.#isDisposed) return;
    if (this.#state === 'idle') this.#begin();
    else this.#state = 'once more';
  }

  /** One that runs comes to its end. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    if (this.#state === 'idle') this.#close();
  }

  #begin(): void {
    try {
      this.#descriptor ??= openSync(this.#file, constants.O_RDWR);
    } catch (thrown) {
      process.emitWarning(asGlasshouseError(thrown));
      return;
    }
    this.#state = 'syncing';
    fdatasync(this.#descriptor, (error) => {
      this.#end(error);
    });
  }

  #end(error: NodeJS.ErrnoException | null): void {
    if (error !== null) process.emitWarning(asGlasshouseError(error));
    const again = this.#state === 'once more';
    this.#state = 'idle';
    if (this.#isDisposed) this.#close();
    else if (again) this.#begin();
  }

  #close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }
}
