import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { BackgroundSync } from '../../src/receipts/store-sync.js';

function aFile(t: TestContext): string {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'glasshouse-test-'));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  const file = path.join(directory, 'written');
  writeFileSync(file, 'something');
  return file;
}

/** Descriptors of this process that are open on the file. */
function openOn(file: string): number {
  const targets = readdirSync('/proc/self/fd').map((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      return ''; // the one with which the directory was read
    }
  });
  return targets.filter((target) => target === file).length;
}

describe('a sync that nobody waits for', () => {
  it('opens the file once, however often it is asked, and closes it in the end', async (t) => {
    const file = aFile(t);
    const sync = new BackgroundSync(file);
    assert.equal(openOn(file), 0);
    for (let request = 0; request < 5; request += 1) {
      sync.request();
      await setImmediate();
    }
    assert.equal(openOn(file), 1);
    sync[Symbol.dispose]();
    while (openOn(file) > 0) await setImmediate();
  });

  it('takes no request after it was disposed of', (t) => {
    const file = aFile(t);
    const sync = new BackgroundSync(file);
    sync[Symbol.dispose]();
    sync.request();
    assert.equal(openOn(file), 0);
  });

  it('warns of a file that is not there, and tries again when it is asked', async (t) => {
    const file = aFile(t);
    rmSync(file);
    using sync = new BackgroundSync(file);
    const warned = once(process, 'warning');
    sync.request();
    assert.match(String((await warned)[0]), /ENOENT/);
    writeFileSync(file, 'something');
    sync.request();
    assert.equal(openOn(file), 1);
  });

  it('warns of what the kernel refuses', async () => {
    // EINVAL: nothing is behind it that could be synced.
    using sync = new BackgroundSync('/dev/null');
    const warned = once(process, 'warning');
    sync.request();
    assert.match(String((await warned)[0]), /EINVAL/);
  });
});
