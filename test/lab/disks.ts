import { truncate, writeFile } from 'node:fs/promises';

import { runOrThrow } from '../../src/base/child-process.js';
import { type BuildContext, toolOptions } from '../../src/images/tools.js';

const MEBIBYTE = 1024 * 1024;
/** Most that is written while tests run; the file on the host is as large as what has been written. */
const SCRATCH_MEBIBYTES = 16 * 1024;

/** Makes a disk with the files of `tree`, to be read only. */
export async function makeSharedDisk(context: BuildContext, tree: string, target: string): Promise<void> {
  const { stdout } = await runOrThrow('du', ['--summarize', '--block-size=1M', tree], toolOptions(context));
  const used = Number.parseInt(stdout.toString('utf8'), 10);
  // A tenth for what the file system itself needs.
  await makeDisk(context, target, used + Math.ceil(used / 10) + 32, ['-O', '^has_journal', '-d', tree]);
}

/** Makes the empty disk that can be written to. It goes away with the run, so it needs no journal either. */
export async function makeScratchDisk(context: BuildContext, target: string): Promise<void> {
  await makeDisk(context, target, SCRATCH_MEBIBYTES, ['-O', '^has_journal']);
}

async function makeDisk(
  context: BuildContext,
  target: string,
  mebibytes: number,
  options: readonly string[],
): Promise<void> {
  await writeFile(target, '');
  await truncate(target, mebibytes * MEBIBYTE);
  const always = ['-q', '-F', '-t', 'ext4', '-m', '0', '-E', 'root_owner=0:0,lazy_itable_init=1,nodiscard'];
  await runOrThrow('mke2fs', [...always, ...options, target], toolOptions(context));
}
