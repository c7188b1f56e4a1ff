import { randomBytes } from 'node:crypto';
import { close, fsync, open, rename, rm, writeFile } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { asGlasshouseError } from './errors.js';

// Not node:fs/promises: `glasshouse run` would load it for this file alone, which takes longer than writing the file.
const files = {
  close: promisify(close),
  fsync: promisify(fsync),
  open: promisify(open),
  rename: promisify(rename),
  rm: promisify(rm),
  writeFile: promisify(writeFile),
};

/**
 * Replaces `file` as a whole: a reader, or a crash at any point, finds the old content or the new one.
 * The new content is on disk before it gets the name. Throws `disk_full` or `internal`.
 */
export async function writeFileAtomically(
  file: string,
  content: string | Uint8Array,
  mode = 0o644,
): Promise<void> {
  const temporary = path.join(
    path.dirname(file),
    `.${path.basename(file)}.${randomBytes(6).toString('hex')}`,
  );
  try {
    const descriptor = await files.open(temporary, 'wx', mode);
    try {
      await files.writeFile(descriptor, content);
      await files.fsync(descriptor);
    } finally {
      await files.close(descriptor);
    }
    await files.rename(temporary, file);
  } catch (error) {
    await files.rm(temporary, { force: true });
    throw asGlasshouseError(error);
  }
}
