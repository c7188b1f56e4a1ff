import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { GlasshouseError, systemErrorCode } from '../base/errors.js';
import { sha256 } from './digest.js';
import {
  type ImageManifest,
  type ImagePart,
  MANIFEST_FILE,
  PART_NAMES,
  type PartName,
  parseManifest,
} from './manifest.js';
import { VerifiedParts } from './verified-parts.js';

/** A guest image whose parts have been held against its manifest. */
export interface GuestImage {
  readonly directory: string;
  readonly manifest: ImageManifest;
  /** Digest of the manifest file, which stands for the image as a whole. */
  readonly manifestSha256: string;
  /** Absolute paths. */
  readonly kernelPath: string;
  readonly initramfsPath: string;
  readonly rootPath: string;
  /** Of its files when they were verified; see isUnchanged(). */
  readonly fileIdentity: string;
  /** SHA-256 of each part, as verified. */
  readonly digests: Readonly<Record<PartName, string>>;
}

/** Where the image of a clone of the repository is, whatever the working directory. */
export function defaultImageDirectory(): string {
  return fileURLToPath(new URL('../../../build/image', import.meta.url));
}

/**
 * True when no file of the image was written, replaced or removed since it was verified, as far as its inode tells;
 * a fraction of a millisecond where openImage() needs several.
 */
export function isUnchanged(image: GuestImage): boolean {
  return identityOf(image.directory, image.manifest) === image.fileIdentity;
}

/** Any write to a file changes at least its ctime (stat(2)). */
function identityOf(directory: string, manifest: ImageManifest): string {
  const names = [MANIFEST_FILE, ...PART_NAMES.map((name) => manifest.parts[name].file)];
  return names
    .map((name) => {
      const stats = statSync(join(directory, name), { bigint: true, throwIfNoEntry: false });
      return stats === undefined
        ? 'none'
        : [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(' ');
    })
    .join('\n');
}

/**
 * Reads the manifest and checks every part against it: the size always, the digest whenever the file is not
 * known to be the very one that was digested before.
 *
 * @throws GlasshouseError `image_missing` when nothing has been built, `image_corrupt` when a part is missing or
 * differs from the manifest.
 */
export async function openImage(imageDirectory: string): Promise<GuestImage> {
  const directory = resolve(imageDirectory);
  const text = await readManifest(directory);
  const manifest = parseManifest(text);
  const fileIdentity = identityOf(directory, manifest);
  const verified = await VerifiedParts.load(directory);
  for (const name of PART_NAMES) await verifyPart(directory, name, manifest.parts[name], verified);
  await verified.save();
  const { kernel, initramfs, root } = manifest.parts;
  return {
    directory,
    manifest,
    manifestSha256: sha256(Buffer.from(text)),
    kernelPath: join(directory, kernel.file),
    initramfsPath: join(directory, initramfs.file),
    rootPath: join(directory, root.file),
    fileIdentity,
    digests: { kernel: kernel.sha256, initramfs: initramfs.sha256, root: root.sha256 },
  };
}

async function readManifest(directory: string): Promise<string> {
  try {
    return await readFile(join(directory, MANIFEST_FILE), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new GlasshouseError(
      'image_missing',
      `There is no guest image in ${directory}. Run "glasshouse image build".`,
      { cause: error },
    );
  }
}

async function verifyPart(
  directory: string,
  name: PartName,
  part: ImagePart,
  verified: VerifiedParts,
): Promise<void> {
  const path = join(directory, part.file);
  try {
    const found = await verified.digestOf(path);
    if (found.sizeBytes !== part.sizeBytes) {
      throw corrupt(name, path, `it has ${found.sizeBytes} bytes instead of ${part.sizeBytes}`);
    }
    if (found.sha256 !== part.sha256) throw corrupt(name, path, 'its digest differs');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw corrupt(name, path, 'it is missing', error);
  }
}

function corrupt(name: PartName, path: string, why: string, cause?: unknown): GlasshouseError {
  return new GlasshouseError(
    'image_corrupt',
    `The ${name} of the guest image, ${path}, is not what the manifest says: ${why}. Run "glasshouse image build".`,
    { cause },
  );
}
