import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import path from 'node:path';

import { asGlasshouseError, systemErrorCode } from './errors.js';

/** open(2): O_TMPFILE is a bit of its own plus O_DIRECTORY; Node.js does not name it. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
const NOT_SUPPORTED: readonly (string | null)[] = ['EOPNOTSUPP', 'EISDIR', 'EINVAL', 'ENOENT'];

/**
 * Opens a new file (read and write, mode 0600) in `directory` that has no name: it vanishes with its last
 * descriptor, however the process ends. Throws `disk_full` or `internal`.
 */
export async function openAnonymousFile(directory: string): Promise<FileHandle> {
  try {
    return await open(directory, O_TMPFILE | constants.O_RDWR, 0o600);
  } catch (error) {
    if (!NOT_SUPPORTED.includes(systemErrorCode(error))) throw asGlasshouseError(error);
    return openAndUnlink(directory);
  }
}

/** For file systems without O_TMPFILE: the name exists for a moment only. */
async function openAndUnlink(directory: string): Promise<FileHandle> {
  const name = path.join(directory, `.anonymous-${randomBytes(12).toString('hex')}`);
  try {
    const file = await open(name, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600);
    await unlink(name);
    return file;
  } catch (error) {
    throw asGlasshouseError(error);
  }
}
