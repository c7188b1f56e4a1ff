import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { runOrThrow } from '../base/child-process.js';
import { type BuildContext, isRoot, toolOptions } from './tools.js';

/** A root file system of unpacked Debian packages, whose own installation scripts are never run. */
export interface DebianRoot {
  /** Name of the Debian release. */
  readonly suite: string;
  readonly packages: readonly string[];
  /** Files of these packages that nothing needs, as patterns of dpkg's `path-exclude`. */
  readonly leftOut: readonly string[];
  /** A script of sh that gets the directory of the unpacked root and does what is needed of their scripts. */
  readonly extractHook: string;
  /** Left out when the finished root is unpacked, as patterns of tar's `--exclude`. */
  readonly leftBehind: readonly string[];
}

/** Since Debian 12, `/bin` and its like are links into `/usr`; unpacking alone does not make them early enough. */
const SETUP_HOOK = `
set -eu
for directory in bin sbin lib lib64; do
  mkdir -p "$1/usr/$directory"
  ln -s "usr/$directory" "$1/$directory"
done
`;

/** Arguments of mmdebstrap for a tar archive of the root at `target`; a null mirror means Debian's own. */
export function bootstrapArguments(
  root: DebianRoot,
  target: string,
  mirror: string | null,
): readonly string[] {
  return [
    '--variant=extract',
    '--format=tar',
    `--include=${root.packages.join(',')}`,
    // Nothing that is run in the root needs /proc, /sys or /dev, and a build that is killed leaves no mount behind.
    '--skip=chroot/mount',
    ...root.leftOut.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
    `--setup-hook=${SETUP_HOOK}`,
    `--extract-hook=${root.extractHook}`,
    root.suite,
    target,
    ...(mirror === null ? [] : [mirror]),
  ];
}

function unpackArguments(root: DebianRoot, archive: string, target: string): readonly string[] {
  return [
    '--extract',
    '--numeric-owner',
    '--same-permissions',
    `--directory=${target}`,
    ...root.leftBehind.map((path) => `--exclude=${path}`),
    `--file=${archive}`,
  ];
}

/** Changes when a root built by this recipe would differ for another reason than newer packages. */
export function recipeDigest(
  root: DebianRoot,
  mirror: string | null,
  furtherInputs: readonly string[] = [],
): string {
  const commands = [bootstrapArguments(root, 'target', mirror), unpackArguments(root, 'archive', 'target')];
  return createHash('sha256')
    .update(JSON.stringify([...commands, ...furtherInputs]))
    .digest('hex');
}

/**
 * Downloads the packages and unpacks them into a tar archive.
 *
 * @returns its path
 * @throws GlasshouseError `tool_missing`, `tool_failed`, `canceled`
 */
export async function bootstrap(
  context: BuildContext,
  root: DebianRoot,
  mirror: string | null,
): Promise<string> {
  const archive = join(context.workDirectory, 'root.tar');
  const options = toolOptions(context);
  const environment = { ...options.env };
  // Not on /tmp, which may be held in memory. Another user, as mmdebstrap becomes without root, has no way here.
  if (isRoot()) environment['TMPDIR'] = context.workDirectory;
  await runOrThrow('mmdebstrap', bootstrapArguments(root, archive, mirror), { ...options, env: environment });
  return archive;
}

/**
 * Unpacks the archive into the directory `tree`.
 *
 * @param ownershipState where fakeroot writes the owners of the files, when not run by root
 * @throws GlasshouseError `tool_missing`, `tool_failed`, `canceled`
 */
export async function unpackRoot(
  context: BuildContext,
  root: DebianRoot,
  archive: string,
  tree: string,
  ownershipState: string,
): Promise<void> {
  const tar = unpackArguments(root, archive, tree);
  if (isRoot()) await runOrThrow('tar', tar, toolOptions(context));
  else await runOrThrow('fakeroot', ['-s', ownershipState, '--', 'tar', ...tar], toolOptions(context));
}
