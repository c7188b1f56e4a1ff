import { open } from 'node:fs/promises';
import path from 'node:path';

import { type InputFile } from '../backends/backend.js';
import { asGlasshouseError, GlasshouseError } from '../base/errors.js';

/** Together; they are held in memory on their way into the guest. */
const MAX_TOTAL_BYTES = 256 * 1024 * 1024;
const EXECUTABLE_BITS = 0o111;

/** Reads the files named by `--file`, each to the same relative path in the workspace. */
export async function readInputFiles(names: readonly string[]): Promise<readonly InputFile[]> {
  const files: InputFile[] = [];
  let totalBytes = 0;
  for (const name of new Set(names.map((given) => path.normalize(given)))) {
    const file = await readInputFile(name);
    totalBytes += file.content.length;
    if (totalBytes > MAX_TOTAL_BYTES) throw refuse(name, 'the files are larger than 256 MiB together');
    files.push(file);
  }
  return files;
}

async function readInputFile(name: string): Promise<InputFile> {
  if (path.isAbsolute(name) || name.split('/').includes('..')) {
    throw refuse(name, 'it is not below the current directory');
  }
  try {
    await using handle = await open(name, 'r');
    const status = await handle.stat();
    if (!status.isFile()) throw refuse(name, 'it is not a regular file');
    if (status.size > MAX_TOTAL_BYTES) throw refuse(name, 'it is larger than 256 MiB');
    return {
      path: name,
      content: await handle.readFile(),
      executable: (status.mode & EXECUTABLE_BITS) !== 0,
    };
  } catch (error) {
    if (error instanceof GlasshouseError) throw error;
    throw refuse(name, asGlasshouseError(error).message);
  }
}

function refuse(name: string, reason: string): GlasshouseError {
  return new GlasshouseError('invalid_request', `--file ${JSON.stringify(name)}: ${reason}.`, {
    field: 'file',
  });
}
