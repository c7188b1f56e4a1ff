import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { sha256 } from '../../src/images/digest.js';
import { openImage } from '../../src/images/locate.js';
import { type ImageManifest, type ImagePart, formatManifest } from '../../src/images/manifest.js';
import { VERIFIED_FILE } from '../../src/images/verified-parts.js';

describe('openImage', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'glasshouse-image-'));
    await writeImage(directory);
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('gives absolute paths and verified digests', async () => {
    const image = await openImage(directory);
    assert.equal(image.kernelPath, join(directory, 'kernel.elf'));
    assert.equal(image.initramfsPath, join(directory, 'initramfs.cpio'));
    assert.equal(image.rootPath, join(directory, 'root.ext4'));
    assert.deepEqual(image.digests, {
      kernel: sha256(Buffer.from('kernel')),
      initramfs: sha256(Buffer.from('initramfs')),
      root: sha256(Buffer.from('root')),
    });
    assert.equal(image.manifestSha256, sha256(await readFile(join(directory, 'manifest.json'))));
  });

  it('says what to do when there is no image', async () => {
    await assert.rejects(openImage(join(directory, 'nowhere')), {
      code: 'image_missing',
      message: /glasshouse image build/,
    });
  });

  it('notices a part that is missing', async () => {
    await rm(join(directory, 'initramfs.cpio'));
    await assertCorrupt(/initramfs .* missing/);
  });

  it('notices a part of another size', async () => {
    await openImage(directory);
    await truncate(join(directory, 'root.ext4'), 3);
    await assertCorrupt(/root .* 3 bytes instead of 4/);
  });

  it('notices a changed part of the same size', async () => {
    await writeFile(join(directory, 'kernel.elf'), 'Kernel');
    await assertCorrupt(/kernel .* digest differs/);
  });

  it('notices a part that is changed after it was verified, with its times put back', async () => {
    const path = join(directory, 'kernel.elf');
    const before = await stat(path);
    await openImage(directory);
    await writeFile(path, 'Kernel');
    await utimes(path, before.atime, before.mtime);
    await assertCorrupt(/digest differs/);
  });

  it('does not read again what has not changed since it was verified', async () => {
    await openImage(directory);
    const cache = await readFile(join(directory, VERIFIED_FILE), 'utf8');
    const wrong = sha256(Buffer.from('something else'));
    // A digest that only the cache can have shows where the answer came from.
    await writeFile(join(directory, VERIFIED_FILE), cache.replace(sha256(Buffer.from('root')), wrong));
    await assertCorrupt(/root .* digest differs/);
  });

  it('ignores a cache that it cannot understand', async () => {
    for (const text of ['', '{}', '[1, ["x"], [1, 2]]', 'null']) {
      await writeFile(join(directory, VERIFIED_FILE), text);
      await openImage(directory);
    }
  });

  it('leaves no other files behind', async () => {
    await openImage(directory);
    await openImage(directory);
    const link = `${directory}-link`;
    await symlink(directory, link);
    await openImage(link);
    await rm(link);
    assert.deepEqual((await readdir(directory)).sort(), [
      VERIFIED_FILE,
      'initramfs.cpio',
      'kernel.elf',
      'manifest.json',
      'root.ext4',
    ]);
  });

  async function assertCorrupt(message: RegExp): Promise<void> {
    await assert.rejects(openImage(directory), { code: 'image_corrupt', message });
  }
});

async function writeImage(directory: string): Promise<void> {
  const part = async (file: string, content: string): Promise<ImagePart> => {
    await writeFile(join(directory, file), content);
    return { file, sizeBytes: content.length, sha256: sha256(Buffer.from(content)) };
  };
  const manifest: ImageManifest = {
    suite: 'bookworm',
    architecture: 'amd64',
    kernelRelease: '6.1.0',
    created: '2026-01-02T03:04:05.000Z',
    recipeSha256: sha256(Buffer.from('recipe')),
    guestInitSha256: sha256(Buffer.from('init')),
    packages: { python3: '3.11' },
    parts: {
      kernel: await part('kernel.elf', 'kernel'),
      initramfs: await part('initramfs.cpio', 'initramfs'),
      root: await part('root.ext4', 'root'),
    },
  };
  await writeFile(join(directory, 'manifest.json'), formatManifest(manifest));
}
