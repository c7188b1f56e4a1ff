import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { readInitramfs, writeInitramfs } from '../../src/images/initramfs.js';
import { type GuestImage } from '../../src/images/locate.js';
import {
  formatManifest,
  type ImagePart,
  MANIFEST_FILE,
  PART_NAMES,
  type PartName,
} from '../../src/images/manifest.js';
import { sha256 } from './subject.js';

/** Fills `directory` with an image like `image`, with other bytes for some parts and a manifest that fits them. */
export function writeImage(
  image: GuestImage,
  directory: string,
  replaced: Readonly<Partial<Record<PartName, Uint8Array>>> = {},
): void {
  const parts = Object.fromEntries(
    PART_NAMES.map((name): [PartName, ImagePart] => {
      const bytes = replaced[name];
      const part = image.manifest.parts[name];
      if (bytes === undefined) {
        symlinkSync(join(image.directory, part.file), join(directory, part.file));
        return [name, part];
      }
      const file = `${name}-of-the-test`;
      writeFileSync(join(directory, file), bytes);
      return [name, { file, sizeBytes: bytes.length, sha256: sha256(bytes) }];
    }),
  ) as Record<PartName, ImagePart>;
  writeFileSync(join(directory, MANIFEST_FILE), formatManifest({ ...image.manifest, parts }));
}

/** The initramfs of `image` with another program as PID 1. */
export function initramfsWith(image: GuestImage, init: Uint8Array): Uint8Array {
  const { modules } = readInitramfs(readFileSync(image.initramfsPath));
  return writeInitramfs({ init, modules });
}
