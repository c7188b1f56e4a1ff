import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { BackgroundSync } from '../../src/receipts/store-sync.js';
import { openDescriptors } from '../contract/subject.js';
import { temporaryDirectory } from './temporary-directory.js';

const DELAY_MS = 100;

function aFile(t: TestContext): string {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const file = join(temporaryDirectory(t), 'written');
  writeFileSync(file, 'something');
  return file;
}

/** Descriptors of this process that are open on the file: it is opened for the first sync. */
function openOn(file: string): number {
  return openDescriptors().filter((target) => target === file).length;
}

describe('a sync that nobody waits for', { timeout: 20_000 }, () => {
  it('comes after a while, opens the file once, and closes it in the end', async (t) => {
    const file = aFile(t);
    const sync = new BackgroundSync(file, DELAY_MS);
    for (let round = 0; round < 3; round += 1) {
      sync.request();
      sync.request();
      t.mock.timers.tick(DELAY_MS - 1);
      assert.equal(openOn(file), Math.min(1, round));
      t.mock.timers.tick(1);
      assert.equal(openOn(file), 1);
      await setImmediate();
    }
    sync[Symbol.dispose]();
    while (openOn(file) > 0) await setImmediate();
  });

  it('is left out when somebody else has synced meanwhile', (t) => {
    const file = aFile(t);
    using sync = new BackgroundSync(file, DELAY_MS);
    sync.request();
    sync.synced();
    t.mock.timers.tick(10 * DELAY_MS);
    assert.equal(openOn(file), 0);
    sync.request();
    t.mock.timers.tick(DELAY_MS);
    assert.equal(openOn(file), 1);
  });

  it('does not come any more after it was disposed of', (t) => {
    const file = aFile(t);
    const sync = new BackgroundSync(file, DELAY_MS);
    sync.request();
    sync[Symbol.dispose]();
    sync.request();
    t.mock.timers.tick(10 * DELAY_MS);
    assert.equal(openOn(file), 0);
  });

  it('warns of a file that is not there, and tries again when it is asked', async (t) => {
    const file = aFile(t);
    rmSync(file);
    using sync = new BackgroundSync(file, DELAY_MS);
    const warned = once(process, 'warning');
    sync.request();
    t.mock.timers.tick(DELAY_MS);
    assert.match(String((await warned)[0]), /ENOENT/);
    writeFileSync(file, 'something');
    sync.request();
    t.mock.timers.tick(DELAY_MS);
    assert.equal(openOn(file), 1);
  });

  it('warns of what the kernel refuses', async (t) => {
    aFile(t);
    // EINVAL: nothing is behind it that could be synced.
    using sync = new BackgroundSync('/dev/null', DELAY_MS);
    const warned = once(process, 'warning');
    sync.request();
    t.mock.timers.tick(DELAY_MS);
    assert.match(String((await warned)[0]), /EINVAL/);
  });
});
