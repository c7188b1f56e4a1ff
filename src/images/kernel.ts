import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { runOrThrow } from '../base/child-process.js';
import { GlasshouseError, systemErrorCode } from '../base/errors.js';
import { extractKernelElf } from './kernel-elf.js';
import { type KernelModule, inLoadOrder, moduleNameOf, readKernelModule } from './kernel-modules.js';
import { type BuildContext, toolOptions } from './tools.js';

/**
 * The drivers of a microVM's devices: disk, console, guest link and entropy. The first three must come in this
 * order. File systems and control groups are built in to Debian's kernel.
 */
const MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_mmio',
  'virtio_blk',
  'virtio_console',
  'virtio_rng',
  'vsock',
  'vmw_vsock_virtio_transport_common',
  'vmw_vsock_virtio_transport',
];

export interface GuestKernel {
  /** As `uname -r` prints it in the guest. */
  readonly release: string;
  readonly elf: Uint8Array;
  /** In load order. */
  readonly modules: readonly KernelModule[];
}

/**
 * Takes the kernel and the modules that a microVM needs out of a Debian kernel package, byte for byte as Debian
 * built them. Nothing is installed.
 *
 * @throws GlasshouseError `tool_missing`, `tool_failed`, `canceled`, `image_build_failed`
 */
export async function unpackKernel(context: BuildContext, kernelPackage: string): Promise<GuestKernel> {
  const directory = join(context.workDirectory, 'kernel');
  await runOrThrow('dpkg-deb', ['--extract', kernelPackage, directory], toolOptions(context));
  const prefix = 'vmlinuz-';
  const image = (await readdir(join(directory, 'boot'))).find((name) => name.startsWith(prefix));
  if (image === undefined) throw incomplete('a kernel image');
  const release = image.slice(prefix.length);
  return {
    release,
    elf: extractKernelElf(await readFile(join(directory, 'boot', image))),
    modules: await readModules(await findModuleTree(directory, release)),
  };
}

/** Debian moves /lib into /usr/lib, one release at a time. */
async function findModuleTree(directory: string, release: string): Promise<string> {
  for (const parent of ['lib', 'usr/lib']) {
    const modules = join(directory, parent, 'modules');
    if (await isDirectory(join(modules, release))) return join(modules, release);
  }
  throw incomplete('modules');
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

async function readModules(tree: string): Promise<readonly KernelModule[]> {
  const builtIn = new Set(
    (await readFile(join(tree, 'modules.builtin'), 'utf8')).split('\n').map(moduleNameOf),
  );
  const files = new Map<string, string>();
  for (const path of await readdir(tree, { recursive: true })) {
    if (path.endsWith('.ko')) files.set(moduleNameOf(path), path);
  }
  const contents = new Map<string, KernelModule>();
  const load = async (name: string): Promise<void> => {
    const path = files.get(name);
    if (path === undefined || contents.has(name)) return;
    const loaded = readKernelModule(path, await readFile(join(tree, path)));
    contents.set(name, loaded);
    for (const dependency of loaded.dependencies) await load(dependency);
  };
  for (const name of MODULES) await load(name);
  return inLoadOrder(MODULES, (name) => {
    const found = contents.get(name);
    if (found === undefined && !builtIn.has(name)) throw incomplete(`the module ${name}`);
    return found ?? null;
  });
}

function incomplete(what: string): GlasshouseError {
  return new GlasshouseError('image_build_failed', `The kernel package does not have ${what}.`);
}
