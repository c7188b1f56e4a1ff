import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

import { systemErrorCode } from '../../src/base/errors.js';

/** Does `work` while this process can open nothing more. */
export async function withoutDescriptors(work: () => Promise<void> | void): Promise<void> {
  const soft = /Max open files +(\d+)/.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
  limitFiles(64);
  const files = openAll();
  try {
    await work();
  } finally {
    for (const file of files) closeSync(file);
    limitFiles(Number(soft));
  }
}

/** Sets how many files this process may have open from now on. */
function limitFiles(limit: number): void {
  const { status } = spawnSync('prlimit', ['--pid', String(process.pid), `--nofile=${limit}:`]);
  assert.equal(status, 0);
}

/** Opens files until that is refused. */
function openAll(): number[] {
  const open: number[] = [];
  for (;;) {
    try {
      open.push(openSync('/dev/null', 'r'));
    } catch (error) {
      assert.equal(systemErrorCode(error), 'EMFILE');
      return open;
    }
  }
}
