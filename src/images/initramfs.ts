import { GlasshouseError } from '../base/errors.js';
import { DIRECTORY, REGULAR_FILE, readArchive, writeArchive } from './cpio.js';

export interface InitramfsModule {
  /** As the kernel names it. */
  readonly name: string;
  readonly content: Uint8Array;
}

export interface Initramfs {
  /** Guest init, a static executable. */
  readonly init: Uint8Array;
  /** In the order in which guest init has to load them. */
  readonly modules: readonly InitramfsModule[];
}

const MODULE_PATH = /^modules\/[0-9]{3}-([a-z0-9_]+)\.ko$/;

/** The archive that the kernel unpacks at boot: `/init` and `/modules/NNN-name.ko`, numbered in load order. */
export function writeInitramfs(initramfs: Initramfs): Uint8Array {
  const nothing = new Uint8Array();
  return writeArchive([
    { path: 'init', mode: REGULAR_FILE | 0o755, content: initramfs.init },
    { path: 'modules', mode: DIRECTORY | 0o755, content: nothing },
    ...initramfs.modules.map(({ name, content }, index) => ({
      path: `modules/${String(index).padStart(3, '0')}-${name}.ko`,
      mode: REGULAR_FILE | 0o644,
      content,
    })),
  ]);
}

/**
 * Takes such an archive apart again, so that guest init can be replaced without fetching the kernel anew.
 *
 * @throws GlasshouseError `image_corrupt` when it holds anything that writeInitramfs() does not write.
 */
export function readInitramfs(archive: Uint8Array): Initramfs {
  const [init, directory, ...modules] = readArchive(archive);
  if (init?.path !== 'init' || directory?.path !== 'modules') throw unexpected('its first entries');
  return {
    init: init.content,
    modules: modules.map(({ path, content }) => {
      const name = MODULE_PATH.exec(path)?.[1];
      if (name === undefined) throw unexpected(JSON.stringify(path));
      return { name, content };
    }),
  };
}

function unexpected(what: string): GlasshouseError {
  return new GlasshouseError('image_corrupt', `The initramfs has an unexpected content: ${what}.`);
}
