import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { runOrThrow } from '../base/child-process.js';
import { GlasshouseError } from '../base/errors.js';
import { makeFileSystem } from './file-system.js';
import { HANDOVER_DIRECTORY, bootstrapArguments, unpackArguments } from './root-recipe.js';
import { type BuildContext, isRoot, toolOptions } from './tools.js';

export interface BootstrappedRoot {
  /** The Debian package of the kernel, not unpacked. */
  readonly kernelPackage: string;
  readonly packages: Readonly<Record<string, string>>;
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
  const archive = join(context.workDirectory, 'root.tar');
  const options = toolOptions(context);
  const environment = { ...options.env };
  // Not on /tmp, which may be held in memory. Another user, as mmdebstrap becomes without root, has no way here.
  if (isRoot()) environment['TMPDIR'] = context.workDirectory;
  await runOrThrow('mmdebstrap', bootstrapArguments(suite, archive, mirror), {
    ...options,
    env: environment,
  });
  const target = `--directory=${context.workDirectory}`;
  await runOrThrow('tar', ['--extract', target, `--file=${archive}`, `./${HANDOVER_DIRECTORY}`], options);
  const handover = join(context.workDirectory, HANDOVER_DIRECTORY);
  return {
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
  const tar = unpackArguments(root.archive, tree);
  if (isRoot()) await runOrThrow('tar', tar, toolOptions(context));
  else await runOrThrow('fakeroot', ['-s', ownershipState, '--', 'tar', ...tar], toolOptions(context));
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
