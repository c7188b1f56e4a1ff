import { lstat, readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { runOrThrow } from '../base/child-process.js';
import { type BuildContext, isRoot, toolOptions } from './tools.js';

const BLOCK_BYTES = 4096;
const INODE_BYTES = 256;
/** A symbolic link up to this long lives in its inode. */
const INLINE_LINK_BYTES = 59;
/** For the superblock, bitmaps, directories that need more than one block, and what else is not counted. */
const SLACK_BYTES = 8 * 1024 * 1024;

/**
 * Makes the fixed identifiers, so that equal input gives an equal file system. They need not be unique: an
 * image is only ever mounted inside a guest of its own.
 */
const UUID = '6c617373-686f-4573-b06f-6f7400000001';
const HASH_SEED = '6c617373-686f-4573-b06f-6f7400000002';
/** Spelled out, so that the configuration file of the host does not matter. No journal: it is never written. */
const FEATURES = 'none,dir_index,extent,extra_isize,filetype,flex_bg,huge_file,large_file,sparse_super';

interface TreeSize {
  readonly bytes: number;
  readonly entries: number;
}

/**
 * Makes an ext4 file system with the files of `tree`, no larger than it needs to be, without mounting anything.
 *
 * @param ownershipState the state of fakeroot that knows the owners of the files, when not run by root
 * @throws GlasshouseError `tool_missing`, `tool_failed`, `canceled`
 */
export async function makeFileSystem(
  context: BuildContext,
  tree: string,
  target: string,
  ownershipState: string,
): Promise<void> {
  const size = await measureTree(tree);
  const inodes = size.entries + 64;
  const bytes = Math.ceil(size.bytes * 1.02) + inodes * INODE_BYTES + SLACK_BYTES;
  await writeFile(target, '');
  await truncate(target, Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES);
  const options = [
    ...['-q', '-F', '-t', 'ext4', '-O', FEATURES, '-b', String(BLOCK_BYTES), '-I', String(INODE_BYTES)],
    ...['-m', '0', '-N', String(inodes), '-U', UUID, '-L', 'glasshouse-root'],
    ...['-E', `hash_seed=${HASH_SEED},root_owner=0:0,lazy_itable_init=0,discard`, '-d', tree, target],
  ];
  const tool = toolOptions(context);
  if (isRoot()) await runOrThrow('mke2fs', options, tool);
  else await runOrThrow('fakeroot', ['-i', ownershipState, '--', 'mke2fs', ...options], tool);
  await runOrThrow('resize2fs', ['-M', target], tool);
}

async function measureTree(directory: string): Promise<TreeSize> {
  let bytes = BLOCK_BYTES;
  let entries = 1;
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    const stats = await lstat(path);
    if (stats.isDirectory()) {
      const below = await measureTree(path);
      bytes += below.bytes;
      entries += below.entries;
      continue;
    }
    entries += 1;
    if (!stats.isSymbolicLink() || stats.size > INLINE_LINK_BYTES) {
      bytes += Math.ceil(stats.size / BLOCK_BYTES) * BLOCK_BYTES;
    }
  }
  return { bytes, entries };
}
