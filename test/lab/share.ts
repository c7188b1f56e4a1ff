import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { runOrThrow } from '../../src/base/child-process.js';
import { type BuildContext, toolOptions } from '../../src/images/tools.js';
import { type FirecrackerBinaries } from './binaries.js';

/** What of the repository the tests need; its other files stay out, whatever somebody has put there. */
const PROJECT: readonly string[] = [
  'bin',
  'bpf',
  'build/guest',
  'build/host',
  'build/image',
  'build/native',
  'build/observer',
  'dist',
  'docs',
  'guest',
  'host',
  'node_modules',
  'package.json',
  'scripts',
  'src',
  'test',
];

/** Where things are in the outer guest. */
export const GUEST_PROJECT = '/lab/project';
const GUEST_FIRECRACKER = '/lab/firecracker';
const GUEST_OTHER_VERSION = '/lab/other-version';

export interface ShareOptions {
  readonly repository: string;
  readonly binaries: FirecrackerBinaries;
  /** A directory with a `firecracker` of another version; null: none. */
  readonly otherVersion: string | null;
  /** A shell script's text. */
  readonly job: string;
  /** Root of the outer guest: libraries that are there need not be brought. */
  readonly outerTree: string;
}

/** Puts together the tree of the shared disk: PID 1, the job, the built project, Node.js and Firecracker. */
export async function gatherShare(context: BuildContext, tree: string, options: ShareOptions): Promise<void> {
  const { repository, binaries } = options;
  await mkdir(tree);
  await copyFile(join(repository, 'test', 'lab', 'outer', 'init.sh'), join(tree, 'init.sh'));
  await writeFile(join(tree, 'job.sh'), options.job);
  await linkProject(context, repository, join(tree, 'project'));
  await bringNode(context, join(tree, 'runtime'), options.outerTree);
  const firecracker = join(tree, 'firecracker');
  await mkdir(firecracker);
  await copyFile(binaries.firecracker, join(firecracker, 'firecracker'));
  await copyFile(binaries.jailer, join(firecracker, 'jailer'));
  if (options.otherVersion === null) return;
  const other = join(tree, 'other-version');
  await mkdir(other);
  await copyFile(join(options.otherVersion, 'firecracker'), join(other, 'firecracker'));
}

/** The lines with which a job sets the environment of the project's programs. */
export function jobEnvironment(hasOtherVersion: boolean): readonly string[] {
  return [
    `export GLASSHOUSE_FIRECRACKER_BIN=${GUEST_FIRECRACKER}/firecracker`,
    `export GLASSHOUSE_JAILER_BIN=${GUEST_FIRECRACKER}/jailer`,
    ...(hasOtherVersion ? [`export LAB_OTHER_VERSION=${GUEST_OTHER_VERSION}`] : []),
    '[ ! -d /lab/runtime/lib ] || export LD_LIBRARY_PATH=/lab/runtime/lib',
    `cd ${GUEST_PROJECT}`,
  ];
}

/** Hard links: the files are read once, when the disk is made of them. */
async function linkProject(context: BuildContext, repository: string, target: string): Promise<void> {
  for (const path of PROJECT) {
    const into = join(target, dirname(path));
    await mkdir(into, { recursive: true });
    await runOrThrow('cp', ['--archive', '--link', join(repository, path), into], toolOptions(context));
  }
}

/** The Node.js that runs this, with those of its libraries that the outer guest does not have. */
async function bringNode(context: BuildContext, runtime: string, outerTree: string): Promise<void> {
  await mkdir(join(runtime, 'bin'), { recursive: true });
  await copyFile(process.execPath, join(runtime, 'bin', 'node'));
  const { stdout } = await runOrThrow('ldd', [process.execPath], toolOptions(context));
  const found = await runOrThrow(
    'find',
    [join(outerTree, 'usr', 'lib'), '-name', '*.so*'],
    toolOptions(context),
  );
  const present = new Set(
    found.stdout
      .toString('utf8')
      .split('\n')
      .map((path) => basename(path)),
  );
  for (const library of librariesOf(stdout.toString('utf8'))) {
    if (present.has(basename(library))) continue;
    await mkdir(join(runtime, 'lib'), { recursive: true });
    await copyFile(library, join(runtime, 'lib', basename(library)));
  }
}

/** Paths in what ldd prints: lines of `name => path (address)`. */
export function librariesOf(listing: string): readonly string[] {
  return Array.from(listing.matchAll(/^\s*\S+ => (\/\S+) \(0x[0-9a-f]+\)$/gm), ([, path = '']) => path);
}
