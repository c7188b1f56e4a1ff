import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { type BuildImageOptions, DEFAULT_SUITE, buildImage, ensureImage } from '../../src/images/build.js';
import { sha256 } from '../../src/images/digest.js';
import { writeInitramfs, readInitramfs } from '../../src/images/initramfs.js';
import { openImage } from '../../src/images/locate.js';
import { lockDirectory } from '../../src/images/lock.js';
import { formatManifest } from '../../src/images/manifest.js';
import { publishManifest, publishPart } from '../../src/images/publish.js';
import { recipeSha256 } from '../../src/images/root-recipe.js';

/** Builds from Debian's packages are for the set-up; here is everything around them. */
describe('ensureImage', () => {
  let directory: string;
  let options: BuildImageOptions;
  const init = Buffer.from('guest init');

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'glasshouse-build-'));
    const initBinary = join(directory, 'guest-init');
    await writeFile(initBinary, init);
    options = {
      directory: join(directory, 'image'),
      initBinary,
      suite: DEFAULT_SUITE,
      mirror: null,
      onProgress: () => undefined,
      signal: new AbortController().signal,
    };
    await writeImage(options, init);
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('does nothing when nothing has changed', async () => {
    const before = await readFile(join(options.directory, 'manifest.json'));
    assert.equal((await ensureImage(options)).change, 'none');
    assert.deepEqual(await readFile(join(options.directory, 'manifest.json')), before);
  });

  it('replaces only the initramfs when guest init has changed', async () => {
    const before = await openImage(options.directory);
    const changed = Buffer.from('another guest init');
    await writeFile(options.initBinary, changed);

    const { manifest, change } = await ensureImage(options);

    assert.equal(change, 'initramfs');
    assert.equal(manifest.guestInitSha256, sha256(changed));
    const after = await openImage(options.directory);
    assert.deepEqual(after.manifest, manifest);
    assert.equal(after.digests.root, before.digests.root);
    assert.deepEqual(readInitramfs(await readFile(after.initramfsPath)), {
      init: changed,
      modules: [{ name: 'virtio', content: Buffer.from('module') }],
    });
    const names = await readdir(options.directory);
    assert.ok(!names.includes(before.manifest.parts.initramfs.file), 'the older part is removed');
  });

  it('removes what a killed build has left behind', async () => {
    const leftover = join(options.directory, '.build-killed');
    await mkdir(leftover);
    await writeFile(join(leftover, 'root.tar'), 'half');
    await writeFile(options.initBinary, 'another');
    await ensureImage(options);
    assert.ok(!(await readdir(options.directory)).some((name) => name.startsWith('.build-')));
  });

  it('refuses to build while another process does', async () => {
    await using locked = await lockDirectory(options.directory);
    await writeFile(options.initBinary, 'another');
    await assert.rejects(ensureImage({ ...options, directory: locked.directory }), {
      code: 'image_build_failed',
      message: /another process/,
    });
  });

  it('says how to get guest init when there is none', async () => {
    await rm(options.initBinary);
    await assert.rejects(ensureImage(options), { code: 'image_build_failed', message: /make -C guest/ });
  });
});

describe('buildImage', () => {
  it('keeps the older image, and nothing else, when it is canceled', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'glasshouse-build-'));
    const initBinary = join(directory, 'guest-init');
    await writeFile(initBinary, 'guest init');
    const controller = new AbortController();
    const options: BuildImageOptions = {
      directory: join(directory, 'image'),
      initBinary,
      suite: DEFAULT_SUITE,
      mirror: null,
      onProgress: () => {
        controller.abort();
      },
      signal: controller.signal,
    };
    await writeImage(options, Buffer.from('guest init'));
    const copy = join(directory, 'copy');
    await cp(options.directory, copy, { recursive: true });

    await assert.rejects(buildImage(options), { code: 'canceled' });

    const names = await readdir(options.directory);
    assert.deepEqual(names.filter((name) => name !== '.lock').sort(), (await readdir(copy)).sort());
    await openImage(options.directory);
    await rm(directory, { recursive: true });
  });
});

describe('lockDirectory', () => {
  it('can be taken again once it is released', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'glasshouse-lock-'));
    for (const round of [1, 2]) {
      await using locked = await lockDirectory(directory);
      await assert.rejects(lockDirectory(locked.directory), { code: 'image_build_failed' }, String(round));
    }
    await rm(directory, { recursive: true });
  });
});

/** An image as a build would have left it, with stand-ins for the large parts. */
async function writeImage(options: BuildImageOptions, init: Uint8Array): Promise<void> {
  const work = join(options.directory, 'work');
  await mkdir(work, { recursive: true });
  const part = async (
    name: 'kernel' | 'initramfs' | 'root',
    content: Uint8Array,
  ): Promise<Awaited<ReturnType<typeof publishPart>>> => {
    const source = join(work, name);
    await writeFile(source, content);
    return publishPart(options.directory, name, source);
  };
  const modules = [{ name: 'virtio', content: Buffer.from('module') }];
  const manifest = {
    suite: options.suite,
    architecture: 'amd64' as const,
    kernelRelease: '6.1.0',
    created: '2026-01-02T03:04:05.000Z',
    recipeSha256: recipeSha256(options.suite, options.mirror),
    guestInitSha256: sha256(init),
    packages: {},
    parts: {
      kernel: await part('kernel', Buffer.from('kernel')),
      initramfs: await part('initramfs', writeInitramfs({ init, modules })),
      root: await part('root', Buffer.from('root')),
    },
  };
  await publishManifest(options.directory, work, manifest);
  await rm(work, { recursive: true });
  assert.equal(await readFile(join(options.directory, 'manifest.json'), 'utf8'), formatManifest(manifest));
}
