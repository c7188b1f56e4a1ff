import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { runOrThrow } from '../base/child-process.js';
import { GlasshouseError } from '../base/errors.js';
import { bootstrap, unpackRoot } from './debian-root.js';
import { makeFileSystem } from './file-system.js';
import { HANDOVER_DIRECTORY, guestRoot } from './root-recipe.js';
import { type BuildContext, toolOptions } from './tools.js';

export interface BootstrappedRoot {
  /** The Debian package of the kernel, not unpacked. */
  readonly kernelPackage: string;
  readonly packages: Readonly<Record<string, string>>;
  readonly suite: string;
  /** Tar archive of the root. */
  readonly archive: string;
}

/**
 * Downloads and unpacks the Debian packages of the root, and downloads the kernel of the same release.
 *
 * @throws GlasshouseError `tool_missing`, `tool_failed`, `canceled`, `image_build_failed`
 */
export async function bootstrapRoot(
  context: BuildContext,
  suite: string,
  mirror: string | null,
): Promise<BootstrappedRoot> {
  const archive = await bootstrap(context, guestRoot(suite), mirror);
  const target = `--directory=${context.workDirectory}`;
  const tar = ['--extract', target, `--file=${archive}`, `./${HANDOVER_DIRECTORY}`];
  await runOrThrow('tar', tar, toolOptions(context));
  const handover = join(context.workDirectory, HANDOVER_DIRECTORY);
  return {
    suite,
    archive,
    kernelPackage: join(handover, 'kernel.deb'),
    packages: parsePackageList(await readFile(join(handover, 'packages'), 'utf8')),
  };
}

/** Makes the file system of the guest's root from the archive, which is removed to save room. */
export async function makeRootFileSystem(
  context: BuildContext,
  root: BootstrappedRoot,
  target: string,
): Promise<void> {
  const tree = join(context.workDirectory, 'root');
  const ownershipState = join(context.workDirectory, 'fakeroot-state');
  await mkdir(tree);
  await unpackRoot(context, guestRoot(root.suite), root.archive, tree, ownershipState);
  await rm(root.archive);
  await makeFileSystem(context, tree, target, ownershipState);
}

/** Lines of `name version`. */
function parsePackageList(text: string): Readonly<Record<string, string>> {
  const packages = text
    .trimEnd()
    .split('\n')
    .map((line): [string, string] => {
      const [name, version, ...rest] = line.split(' ');
      if (name === undefined || version === undefined || rest.length > 0) {
        throw new GlasshouseError(
          'image_build_failed',
          `Not a package and its version: ${JSON.stringify(line)}`,
        );
      }
      return [name, version];
    });
  return Object.fromEntries(packages);
}
