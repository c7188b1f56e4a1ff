import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, opendir, rename, rmdir, unlink } from 'node:fs/promises';

import { systemErrorCode } from './errors.js';

/** One that removes names as it reads them may skip some; a directory that never gets empty is being written to. */
const MAX_PASSES = 8;

/**
 * Removes what is in a directory that only we can write to, where a stranger made everything below: names of any bytes,
 * millions of them, thousands of levels, symbolic links. Each step starts from an open directory (proc_pid_fd(5)) and
 * follows no link, so nothing elsewhere is touched even while somebody goes on renaming. Directories are moved up beside
 * each other, so there is one level to walk and no path gets long; only a few names are in memory. A directory that is
 * not there is empty. Rejects with what the file system refuses: with ENOTEMPTY where a process still makes names.
 */
export async function emptyDirectory(directory: string): Promise<void> {
  const top = await openDirectory(directory);
  if (top === null) return;
  await using _owner = top;
  const names = newNames(pathOf(top));
  // As often as there are levels: what was moved up is only found by a later pass.
  while (await hasRemovedAny(pathOf(top), (entry) => removeEntry(entry, names)));
}

/** A file, or a directory whose own directories are moved up under new names. */
async function removeEntry(entry: Buffer, newNamesAbove: Iterator<string, never>): Promise<void> {
  if (await isUnlinked(entry)) return;
  const inner = await openDirectory(entry);
  if (inner === null) return;
  await using _owner = inner;
  const removeInner = async (below: Buffer): Promise<void> => {
    if (!(await isUnlinked(below)) && !(await isRemovedEmpty(below)))
      await isGone(rename(below, newNamesAbove.next().value), []);
  };
  let passes = 0;
  while (passes < MAX_PASSES && (await hasRemovedAny(pathOf(inner), removeInner))) passes += 1;
  await isGone(rmdir(entry), []);
}

/** One pass over a directory. */
async function hasRemovedAny(directory: string, remove: (entry: Buffer) => Promise<void>): Promise<boolean> {
  let found = false;
  // Each byte of a name is one character in this encoding.
  for await (const { name } of await opendir(directory, { encoding: 'latin1' })) {
    await remove(Buffer.from(`${directory}/${name}`, 'latin1'));
    found = true;
  }
  return found;
}

/** Names that a removal which was cut off has not used. */
function* newNames(directory: string): Generator<string, never> {
  const unique = randomBytes(8).toString('hex');
  for (let count = 0; ; count += 1) yield `${directory}/${unique}-${count}`;
}

/** Null when there is nothing of that name. A link to a directory is none. */
async function openDirectory(directory: string | Buffer): Promise<FileHandle | null> {
  try {
    return await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

function pathOf(directory: FileHandle): string {
  return `/proc/self/fd/${directory.fd}`;
}

/** False: it is a directory, or may not be removed. */
async function isUnlinked(entry: Buffer): Promise<boolean> {
  return isGone(unlink(entry), ['EISDIR', 'EPERM']);
}

/** False: something is in it, or it has become something else. */
async function isRemovedEmpty(directory: Buffer): Promise<boolean> {
  return isGone(rmdir(directory), ['ENOTEMPTY', 'EEXIST', 'ENOTDIR']);
}

async function isGone(removal: Promise<void>, refusals: readonly string[]): Promise<boolean> {
  try {
    await removal;
    return true;
  } catch (error) {
    const code = systemErrorCode(error) ?? '';
    if (code === 'ENOENT') return true;
    if (refusals.includes(code)) return false;
    throw error;
  }
}
