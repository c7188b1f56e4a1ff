import { GlasshouseError } from '../base/errors.js';

/** A loadable kernel module, as it is in its file. */
export interface KernelModule {
  /** As the kernel names it: with `_`, never `-`. */
  readonly name: string;
  /** Names of the modules that must be loaded before it. */
  readonly dependencies: readonly string[];
  readonly content: Uint8Array;
}

/** `drivers/char/hw_random/virtio-rng.ko` is the module `virtio_rng`. */
export function moduleNameOf(fileName: string): string {
  return fileName.replace(/^.*\//, '').replace(/\.ko$/, '').replaceAll('-', '_');
}

/**
 * Reads what a module file says about its own dependencies: the `depends=` entry of its ELF section `.modinfo`
 * (NUL-separated `key=value` strings, scripts/mod/modpost.c in the kernel source).
 *
 * @throws GlasshouseError `image_build_failed` when the file is not a 64-bit ELF file with such a section.
 */
export function readKernelModule(fileName: string, content: Uint8Array): KernelModule {
  const name = moduleNameOf(fileName);
  const entries = Buffer.from(elfSection(name, content, '.modinfo'))
    .toString('latin1')
    .split('\0');
  const depends = entries.find((entry) => entry.startsWith('depends='));
  if (depends === undefined) throw unusable(name, 'it does not name its dependencies');
  const dependencies = depends
    .slice('depends='.length)
    .split(',')
    .filter((dependency) => dependency !== '');
  return { name, dependencies: dependencies.map((dependency) => dependency.replaceAll('-', '_')), content };
}

/** Every wanted module once, each after all that it depends on. `find` gives null for a module built in. */
export function inLoadOrder(
  wanted: readonly string[],
  find: (name: string) => KernelModule | null,
): readonly KernelModule[] {
  const ordered = new Map<string, KernelModule | null>();
  const visit = (name: string, path: readonly string[]): void => {
    if (ordered.has(name)) return;
    if (path.includes(name)) throw unusable(name, `its dependencies form a circle: ${path.join(', ')}`);
    const found = find(name);
    for (const dependency of found?.dependencies ?? []) visit(dependency, [...path, name]);
    ordered.set(name, found);
  };
  for (const name of wanted) visit(name, []);
  return [...ordered.values()].filter((found) => found !== null);
}

/** The bytes of a section of a little-endian 64-bit ELF file (System V ABI, "Sections"). */
function elfSection(moduleName: string, elf: Uint8Array, sectionName: string): Uint8Array {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  if (elf.length < 64 || view.getUint32(0, false) !== 0x7f454c46 || view.getUint16(4, true) !== 0x0102) {
    throw unusable(moduleName, 'it is not a 64-bit ELF file');
  }
  const tableOffset = Number(view.getBigUint64(40, true));
  const entryBytes = view.getUint16(58, true);
  const count = view.getUint16(60, true);
  if (entryBytes < 64 || tableOffset + count * entryBytes > elf.length) {
    throw unusable(moduleName, 'its section table is cut off');
  }
  const section = (index: number): { readonly nameOffset: number; readonly bytes: Uint8Array } => {
    const at = tableOffset + index * entryBytes;
    const start = Number(view.getBigUint64(at + 24, true));
    const length = Number(view.getBigUint64(at + 32, true));
    return { nameOffset: view.getUint32(at, true), bytes: elf.subarray(start, start + length) };
  };
  const nameTableIndex = view.getUint16(62, true);
  if (nameTableIndex >= count) throw unusable(moduleName, 'it has no section names');
  const names = Buffer.from(section(nameTableIndex).bytes).toString('latin1');
  for (let index = 0; index < count; index += 1) {
    const { nameOffset, bytes } = section(index);
    if (names.startsWith(`${sectionName}\0`, nameOffset)) return bytes;
  }
  throw unusable(moduleName, `it has no section ${sectionName}`);
}

function unusable(name: string, why: string): GlasshouseError {
  return new GlasshouseError('image_build_failed', `The kernel module ${name} cannot be used: ${why}.`);
}
