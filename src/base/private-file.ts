import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { makeDirectory } from './directory.js';
import { asGlasshouseError, GlasshouseError, systemErrorCode } from './errors.js';

/**
 * The text of a file that only its owner may read, made with what `make` returns at first use, durably; of several
 * processes at once, one makes it and all get the same. Throws `key_unsafe` when others can access it, `key_invalid`
 * when it cannot be read or made, or `disk_full`.
 */
export function readOrCreatePrivateFile(file: string, make: () => string): string {
  try {
    return readPrivateFile(file) ?? createPrivateFile(file, make());
  } catch (thrown) {
    if (thrown instanceof GlasshouseError) throw thrown;
    const { code, message } = asGlasshouseError(thrown, 'key_invalid');
    throw new GlasshouseError(code, `The key file ${file} cannot be used: ${message}`, { cause: thrown });
  }
}

/** Null when there is none. */
function readPrivateFile(file: string): string | null {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return null;
    throw thrown;
  }
  try {
    const mode = fstatSync(descriptor).mode & 0o777;
    if ((mode & 0o077) !== 0)
      throw new GlasshouseError(
        'key_unsafe',
        `Others can access the key file ${file} (mode 0${mode.toString(8)}): run "chmod 600" on it, or remove it if somebody may have read it.`,
      );
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** link(2) does not replace: whoever comes second gets what whoever came first has made. */
function createPrivateFile(file: string, content: string): string {
  const directory = dirname(file);
  makeDirectory(directory, 0o700);
  const temporary = join(directory, `.${basename(file)}.${randomBytes(6).toString('hex')}`);
  try {
    writeDurably(temporary, content);
    linkSync(temporary, file);
    syncDirectory(directory);
    return content;
  } catch (thrown) {
    if (systemErrorCode(thrown) !== 'EEXIST') throw thrown;
    return readPrivateFile(file) ?? content;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function writeDurably(file: string, content: string): void {
  const descriptor = openSync(file, 'wx', 0o600);
  try {
    writeSync(descriptor, content);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** A new name in a directory survives a power cut only after the directory itself was synced. */
function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
