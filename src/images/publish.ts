import { chmod, open, readFile, readdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { GlasshouseError } from '../base/errors.js';
import { sha256OfFile } from './digest.js';
import {
  type ImageManifest,
  type ImagePart,
  MANIFEST_FILE,
  type PartName,
  formatManifest,
} from './manifest.js';

export const WORK_PREFIX = '.build-';
const PART_FILE = /^(?:kernel|initramfs|root)-[0-9a-f]{16}\.[a-z0-9]+$/;
const EXTENSIONS: Readonly<Record<PartName, string>> = { kernel: 'elf', initramfs: 'cpio', root: 'ext4' };

/**
 * Moves a finished part from the work directory into the image's. It is named by its digest, so that it never
 * takes the place of a part that the current manifest names.
 */
export async function publishPart(directory: string, name: PartName, source: string): Promise<ImagePart> {
  // A virtual machine monitor that runs as another user has to read it.
  await chmod(source, 0o644);
  const file = await open(source, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  const sha256 = await sha256OfFile(source);
  const { size: sizeBytes } = await stat(source);
  const target = `${name}-${sha256.slice(0, 16)}.${EXTENSIONS[name]}`;
  await rename(source, join(directory, target));
  return { file: target, sizeBytes, sha256 };
}

/** Puts the manifest in place, the one step by which a new image replaces an older one, and removes the older. */
export async function publishManifest(
  directory: string,
  workDirectory: string,
  manifest: ImageManifest,
): Promise<void> {
  const temporary = join(workDirectory, MANIFEST_FILE);
  await writeFile(temporary, formatManifest(manifest), { mode: 0o644, flush: true });
  await chmod(temporary, 0o644);
  await syncDirectory(directory);
  await rename(temporary, join(directory, MANIFEST_FILE));
  await syncDirectory(directory);
  const current = new Set(Object.values(manifest.parts).map(({ file }) => file));
  for (const name of await readdir(directory)) {
    if (PART_FILE.test(name) && !current.has(name)) await rm(join(directory, name));
  }
}

/** Removes what builds that were killed have left behind. Only for the holder of the lock. */
export async function removeDeadBuilds(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name.startsWith(WORK_PREFIX)) await removeWorkDirectory(join(directory, name));
  }
}

/**
 * Removes the work directory of a build, and never anything through a mount: what is mounted there may be the
 * host's own.
 *
 * @throws GlasshouseError `image_build_failed` when something is mounted inside it
 */
export async function removeWorkDirectory(workDirectory: string): Promise<void> {
  const mountinfo = await readFile('/proc/self/mountinfo', 'utf8');
  const [mounted] = mountPointsBelow(await realpath(workDirectory), mountinfo);
  if (mounted !== undefined) {
    throw new GlasshouseError(
      'image_build_failed',
      `A build that was killed has left something mounted. Unmount it: umount ${JSON.stringify(mounted)}`,
    );
  }
  await rm(workDirectory, { recursive: true });
}

/**
 * Mount points at or below a directory: the fifth field of each line of `mountinfo`, in which blanks are octal
 * escapes (proc_pid_mountinfo(5)).
 */
export function mountPointsBelow(directory: string, mountinfo: string): readonly string[] {
  const prefix = directory.endsWith('/') ? directory : `${directory}/`;
  return mountinfo
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((path) => path !== undefined)
    .map(unescapeOctal)
    .filter((path) => `${path}/`.startsWith(prefix));
}

function unescapeOctal(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
