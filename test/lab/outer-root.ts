import { chmod, copyFile, mkdir, mkdtemp, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { GlasshouseError } from '../../src/base/errors.js';
import { bootstrap, unpackRoot } from '../../src/images/debian-root.js';
import { makeFileSystem } from '../../src/images/file-system.js';
import { WORK_PREFIX, removeWorkDirectory } from '../../src/images/publish.js';
import { type BuildContext } from '../../src/images/tools.js';
import { OUTER_ROOT, outerKey } from './outer-recipe.js';

const PREFIX = 'outer-';
/** PID 1 of the outer guest, in its root; the kernel is told so. */
export const OUTER_INIT = '/usr/sbin/lab-init';

/** The outer guest, as it is kept between runs. */
export interface OuterRoot {
  /** Its files, of which the host runs QEMU and boots the kernel. */
  readonly tree: string;
  readonly kernel: string;
  /** Its root file system, never written to. */
  readonly image: string;
}

export interface OuterRootOptions {
  /** Where it is kept; locked by the caller. */
  readonly directory: string;
  /** Path of what becomes PID 1. */
  readonly stub: string;
  /** Where packages come from, as mmdebstrap takes it; null for Debian's own servers. */
  readonly mirror: string | null;
  readonly signal: AbortSignal;
  readonly onProgress: (message: string) => void;
}

/** Downloads and builds the outer guest, unless this very recipe has been built before; removes what others built. */
export async function ensureOuterRoot(options: OuterRootOptions): Promise<OuterRoot> {
  const name = PREFIX + outerKey(options.mirror, await readFile(options.stub, 'utf8'));
  const home = join(options.directory, name);
  const built = (await readdir(options.directory)).filter((each) => each.startsWith(PREFIX));
  for (const other of built.filter((each) => each !== name)) {
    await rm(join(options.directory, other), { recursive: true });
  }
  if (!built.includes(name)) await build(options, home);
  return {
    tree: join(home, 'tree'),
    kernel: await findKernel(join(home, 'tree')),
    image: join(home, 'root.ext4'),
  };
}

/** What appears under its own name is complete. */
async function build(options: OuterRootOptions, home: string): Promise<void> {
  options.onProgress('downloading and unpacking the outer guest');
  const workDirectory = await mkdtemp(join(options.directory, WORK_PREFIX));
  try {
    // mmdebstrap may have to become another user.
    await chmod(workDirectory, 0o755);
    const context: BuildContext = {
      workDirectory,
      signal: options.signal,
      epochSeconds: Math.floor(Date.now() / 1000),
    };
    const made = join(workDirectory, 'made');
    await mkdir(join(made, 'tree'), { recursive: true });
    const ownershipState = join(workDirectory, 'fakeroot-state');
    const archive = await bootstrap(context, OUTER_ROOT, options.mirror);
    await unpackRoot(context, OUTER_ROOT, archive, join(made, 'tree'), ownershipState);
    await copyFile(options.stub, join(made, 'tree', OUTER_INIT));
    await chmod(join(made, 'tree', OUTER_INIT), 0o755);
    await makeFileSystem(context, join(made, 'tree'), join(made, 'root.ext4'), ownershipState);
    await rename(made, home);
  } finally {
    await removeWorkDirectory(workDirectory);
  }
}

async function findKernel(tree: string): Promise<string> {
  const name = (await readdir(join(tree, 'boot'))).find((each) => each.startsWith('vmlinuz-'));
  if (name === undefined)
    throw new GlasshouseError('image_build_failed', `There is no kernel in ${tree}/boot.`);
  return join(tree, 'boot', name);
}
