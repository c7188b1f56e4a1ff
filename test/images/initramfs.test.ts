import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { runOrThrow } from '../../src/base/child-process.js';
import { GlasshouseError } from '../../src/base/errors.js';
import { REGULAR_FILE, readArchive, writeArchive } from '../../src/images/cpio.js';
import { readInitramfs, writeInitramfs } from '../../src/images/initramfs.js';
import { isInstalled } from './tools.js';

const SAMPLE = {
  init: Buffer.from('#!init'),
  modules: [
    { name: 'virtio_ring', content: Buffer.from('first') },
    { name: 'virtio', content: Buffer.from('second one') },
  ],
};

describe('writeInitramfs', async () => {
  const skip = (await isInstalled('cpio')) ? false : 'cpio is not installed';

  it('writes what cpio reads, numbered in load order', { skip }, async () => {
    const listing = await runOrThrow('cpio', ['--list', '--verbose', '--numeric-uid-gid', '--quiet'], {
      stdin: writeInitramfs(SAMPLE),
      env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
    });
    const lines = listing.stdout.toString().trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => line.replace(/ +/g, ' ')),
      [
        '-rwxr-xr-x 1 0 0 6 Jan 1 1970 init',
        'drwxr-xr-x 1 0 0 0 Jan 1 1970 modules',
        '-rw-r--r-- 1 0 0 5 Jan 1 1970 modules/000-virtio_ring.ko',
        '-rw-r--r-- 1 0 0 10 Jan 1 1970 modules/001-virtio.ko',
      ],
    );
  });

  it('writes the same bytes each time', () => {
    assert.deepEqual(writeInitramfs(SAMPLE), writeInitramfs(SAMPLE));
  });
});

describe('readInitramfs', () => {
  it('gives back what was written', () => {
    assert.deepEqual(readInitramfs(writeInitramfs(SAMPLE)), SAMPLE);
  });

  it('refuses an archive with anything else in it', () => {
    const entry = (path: string): Parameters<typeof writeArchive>[0][number] => ({
      path,
      mode: REGULAR_FILE,
      content: new Uint8Array(),
    });
    const archives = [
      [],
      [entry('init')],
      [entry('modules'), entry('init')],
      [entry('init'), entry('modules'), entry('modules/000-../x.ko')],
      [entry('init'), entry('modules'), entry('etc/passwd')],
    ];
    for (const entries of archives) {
      assert.throws(() => readInitramfs(writeArchive(entries)), { code: 'image_corrupt' });
    }
  });
});

describe('readArchive', () => {
  it('gives back the entries of any archive', () => {
    const entries = fc.array(
      fc.record(
        {
          path: fc.stringMatching(/^[a-z/.]{1,20}$/),
          mode: fc.nat(0o177777),
          content: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
        },
        { noNullPrototype: true },
      ),
    );
    fc.assert(
      fc.property(entries, (written) => {
        assert.deepEqual(readArchive(writeArchive(written)), written);
      }),
    );
  });

  it('refuses every archive that is cut off', () => {
    const archive = writeInitramfs(SAMPLE);
    const trailerBytes = 4;
    for (let length = 0; length < archive.length - trailerBytes; length += 1) {
      assert.throws(() => readArchive(archive.subarray(0, length)), { code: 'image_corrupt' });
    }
  });

  it('answers damage with entries or a typed error', () => {
    const archive = writeInitramfs(SAMPLE);
    fc.assert(
      fc.property(fc.nat(archive.length - 1), fc.nat(255), (position, value) => {
        const damaged = Uint8Array.from(archive);
        damaged[position] = value;
        try {
          readArchive(damaged);
        } catch (error) {
          assert.ok(error instanceof GlasshouseError, String(error));
        }
      }),
    );
  });
});
