import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';

import fc from 'fast-check';

import {
  installRelease,
  newestInstalled,
  pinnedRelease,
  type Release,
} from '../../../src/backends/firecracker/release.js';
import { readTarFiles } from '../../../src/backends/firecracker/tar.js';
import { never, ScratchDirectory } from '../../contract/subject.js';

const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

const FIRECRACKER = 'release-v1.16.1-x86_64/firecracker-v1.16.1-x86_64';
const JAILER = 'release-v1.16.1-x86_64/jailer-v1.16.1-x86_64';

interface Entry {
  readonly name: string;
  readonly content: string;
  /** As tar(5) has it; `0`: a regular file. */
  readonly type?: string;
}

function tarHeader({ name, content, type = '0' }: Entry): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0, 100, 'latin1');
  header.write('0000755\0', 100);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write(type, 156);
  header.write('ustar\u000000', 257);
  return header;
}

function tarOf(entries: readonly Entry[]): Buffer {
  const blocks = entries.flatMap((entry) => {
    const padding = (512 - (entry.content.length % 512)) % 512;
    return [tarHeader(entry), Buffer.from(entry.content), Buffer.alloc(padding)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

const GOOD: readonly Entry[] = [
  { name: 'release-v1.16.1-x86_64/', content: '', type: '5' },
  { name: 'release-v1.16.1-x86_64/LICENSE', content: 'text' },
  { name: FIRECRACKER, content: 'the monitor' },
  { name: JAILER, content: 'the jailer' },
];

let places = 0;

/** Installs that archive as if its digest were the published one. */
async function install(
  archive: Buffer,
  changes: Partial<Release> = {},
): Promise<{ directory: string; target: string }> {
  const directory = scratch.make(`place-${(places += 1)}`);
  const file = join(scratch.path, `archive-${places}`);
  writeFileSync(file, archive);
  const sha256 = createHash('sha256').update(archive).digest('hex');
  const release = {
    version: '1.16.1',
    architecture: 'x86_64',
    url: 'https://example.org/a.tgz',
    sha256,
    ...changes,
  };
  try {
    return { directory, target: await installRelease({ release, directory, archive: file, signal: never }) };
  } catch (error) {
    assert.deepEqual(readdirSync(directory), [], 'nothing is left behind');
    throw error;
  }
}

describe('a release of Firecracker', () => {
  it('is pinned with the digest of its archive for both architectures', () => {
    assert.match(pinnedRelease('x64').sha256, /^[0-9a-f]{64}$/);
    assert.match(pinnedRelease('arm64').url, /^https:\/\/github\.com\/firecracker-microvm\/.*-aarch64\.tgz$/);
    assert.throws(() => pinnedRelease('mips'), { code: 'backend_unavailable' });
  });

  it('is installed from an archive that was brought', async () => {
    const { directory, target } = await install(gzipSync(tarOf(GOOD)));
    assert.equal(target, join(directory, '1.16.1'));
    assert.deepEqual(readdirSync(target).sort(), ['firecracker', 'jailer']);
    assert.equal(readFileSync(join(target, 'firecracker'), 'utf8'), 'the monitor');
    assert.equal(statSync(join(target, 'jailer')).mode & 0o777, 0o755);
    assert.equal(await newestInstalled(directory), target);
  });

  it('takes the place of what was installed before', async () => {
    const archive = gzipSync(tarOf(GOOD));
    const { directory } = await install(archive);
    const file = join(scratch.path, 'again');
    writeFileSync(file, archive);
    const sha256 = createHash('sha256').update(archive).digest('hex');
    const release = { version: '1.16.1', architecture: 'x86_64', url: '', sha256 };
    await installRelease({ release, directory, archive: file, signal: never });
    assert.deepEqual(readdirSync(directory), ['1.16.1']);
  });

  it('is refused when the archive is another one', async () => {
    await assert.rejects(install(gzipSync(tarOf(GOOD)), { sha256: '0'.repeat(64) }), {
      code: 'tool_failed',
      message: /is not Firecracker 1\.16\.1: its sha256 is [0-9a-f]{64}.*Nothing was installed/,
    });
  });

  const bad: Readonly<Record<string, readonly Entry[]>> = {
    'without the jailer': GOOD.slice(0, 3),
    'where the program is a symbolic link': [
      { name: FIRECRACKER, content: '', type: '2' },
      ...GOOD.filter(({ name }) => name !== FIRECRACKER),
    ],
    'where the program lies elsewhere': GOOD.map((entry) => ({ ...entry, name: `../${entry.name}` })),
    'where the path is absolute': GOOD.map((entry) => ({ ...entry, name: `/${entry.name}` })),
    'of nothing': [],
  };
  for (const [what, entries] of Object.entries(bad)) {
    it(`is refused when the archive is one ${what}`, async () => {
      await assert.rejects(install(gzipSync(tarOf(entries))), { code: 'tool_failed' });
    });
  }

  it('is refused when the archive is cut off or not packed', async () => {
    const archive = gzipSync(tarOf(GOOD));
    await assert.rejects(install(archive.subarray(0, archive.length - 20)), { code: 'tool_failed' });
    await assert.rejects(install(tarOf(GOOD)), { code: 'tool_failed' });
    await assert.rejects(install(gzipSync(tarOf(GOOD).subarray(0, 1600))), { code: 'tool_failed' });
  });

  it('says which file to bring when there is no network', async () => {
    const directory = scratch.make('offline');
    const release = {
      version: '1.16.1',
      architecture: 'x86_64',
      url: 'https://localhost:1/a.tgz',
      sha256: 'ab',
    };
    await assert.rejects(installRelease({ release, directory, archive: null, signal: never }), {
      code: 'tool_missing',
      message: /Bring the file https:\/\/localhost:1\/a\.tgz \(sha256 ab\).*--archive FILE/,
    });
    assert.deepEqual(readdirSync(directory), []);
  });

  it('says which file it cannot read', async () => {
    const directory = scratch.make('absent');
    const options = { release: pinnedRelease('x64'), directory, archive: '/absent', signal: never };
    await assert.rejects(installRelease(options), {
      code: 'tool_missing',
      message: /^\/absent cannot be read/,
    });
  });

  it('is the newest of those that are installed, by number', async () => {
    const directory = scratch.make('several');
    assert.equal(await newestInstalled(directory), null);
    for (const name of ['1.9.0', '1.16.1', '1.15.12', '.work-1', 'latest']) scratch.make(`several/${name}`);
    assert.equal(await newestInstalled(directory), join(directory, '1.16.1'));
    assert.equal(await newestInstalled(join(directory, 'absent')), null);
  });
});

describe('an archive', () => {
  it('never makes more bytes than it has, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
        let total = 0;
        try {
          for (const { content } of readTarFiles(Buffer.from(bytes))) total += content.length;
        } catch (error) {
          assert.ok(error instanceof RangeError);
        }
        assert.ok(total <= bytes.length);
      }),
    );
  });
});
