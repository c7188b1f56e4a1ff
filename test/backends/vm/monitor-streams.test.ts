import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { describe, it } from 'node:test';

import { outputOf } from '../../../src/backends/vm/monitor-streams.js';
import { systemErrorCode } from '../../../src/base/errors.js';

const STDIO = ['ignore', 'pipe', 'pipe'] as const;

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

describe('the streams of a monitor that was just spawned', { timeout: 60_000 }, () => {
  it('are those that it writes to', async () => {
    const child = spawn('sh', ['-c', 'echo out; echo err >&2'], { stdio: [...STDIO] });
    const { stdout, stderr } = outputOf(child, 'The monitor');
    const written = await Promise.all([stdout.toArray(), stderr.toArray()]);
    assert.deepEqual(written.map(String), ['out\n', 'err\n']);
  });

  it('are missing where no descriptor is left, which is an error of that machine and ends nothing else', async () => {
    const soft = /Max open files +(\d+)/.exec(spawnSync('cat', ['/proc/self/limits']).stdout.toString())?.[1];
    limitFiles(64);
    const files = openAll();
    try {
      const child = spawn('true', [], { stdio: [...STDIO] });
      assert.throws(() => outputOf(child, 'The monitor'), {
        code: 'backend_unavailable',
        message: /ulimit -n/,
      });
      // Whoever listens no longer, or not yet, would be ended by this.
      await once(child, 'error').catch(() => undefined);
    } finally {
      for (const file of files) closeSync(file);
      limitFiles(Number(soft));
    }
  });
});
