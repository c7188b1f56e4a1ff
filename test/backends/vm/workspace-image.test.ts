import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { after, describe, it } from 'node:test';

import { WorkspaceImages } from '../../../src/backends/vm/workspace-image.js';
import { runOrThrow, runToCompletion } from '../../../src/base/child-process.js';
import { openDescriptors, ScratchDirectory } from '../../contract/subject.js';

const MIB = 1024 * 1024;
const scratch = new ScratchDirectory();
const directory = scratch.make('spool');
const images = new WorkspaceImages(directory);
const missing = await runToCompletion('mke2fs', ['-V']).then(
  () => null,
  () => 'mke2fs is not installed',
);

after(() => {
  scratch[Symbol.dispose]();
});

describe('a workspace image', { skip: missing ?? false }, () => {
  for (const diskMb of [1, 4, 64, 1024]) {
    it(`of ${diskMb} MiB is a sound, sparse file system of that size without a name`, async () => {
      // The first is made by mke2fs, the second from what was learnt of the first.
      for (const _round of ['first', 'second']) {
        await using image = await images.create(diskMb);
        const path = `/proc/${process.pid}/fd/${image.fd}`;
        const facts = await image.stat();
        assert.equal(facts.size, diskMb * MIB);
        assert.equal(facts.nlink, 0);
        assert.ok(facts.blocks * 512 < Math.max(MIB, facts.size / 16), `${facts.blocks} blocks`);
        assert.deepEqual(readdirSync(directory), []);
        await runOrThrow('e2fsck', ['-f', '-n', path]);
        const listing = await runOrThrow('debugfs', ['-R', 'stat <2>', path]);
        assert.match(listing.stdout.toString(), /User: +1000 +Group: +1000/);
      }
    });
  }

  it('of one execution is not that of another', async () => {
    await using one = await images.create(4);
    await one.write(Buffer.from('secret'), 0, 6, 2 * MIB);
    await using other = await images.create(4);
    const bytes = await readFile(`/proc/self/fd/${other.fd}`);
    assert.equal(bytes.includes('secret'), false);
    assert.notEqual((await one.stat()).ino, (await other.stat()).ino);
  });

  it('leaves nothing when it is closed', async () => {
    const before = openDescriptors();
    for (let diskMb = 1; diskMb <= 24; diskMb += 1) await (await images.create(diskMb)).close();
    assert.deepEqual(openDescriptors(), before);
    assert.equal((await stat(directory)).isDirectory(), true);
    assert.deepEqual(readdirSync(directory), []);
  });
});
