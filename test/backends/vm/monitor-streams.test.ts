import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';

import { outputOf } from '../../../src/backends/vm/monitor-streams.js';
import { withoutDescriptors } from '../../base/without-descriptors.js';

const STDIO = ['ignore', 'pipe', 'pipe'] as const;

describe('the streams of a monitor that was just spawned', { timeout: 60_000 }, () => {
  it('are those that it writes to', async () => {
    const child = spawn('sh', ['-c', 'echo out; echo err >&2'], { stdio: [...STDIO] });
    const { stdout, stderr } = outputOf(child, 'The monitor');
    const written = await Promise.all([stdout.toArray(), stderr.toArray()]);
    assert.deepEqual(written.map(String), ['out\n', 'err\n']);
  });

  it('are missing where no descriptor is left, which is an error of that machine and ends nothing else', async () => {
    await withoutDescriptors(async () => {
      const child = spawn('true', [], { stdio: [...STDIO] });
      assert.throws(() => outputOf(child, 'The monitor'), {
        code: 'backend_unavailable',
        message: /ulimit -n/,
      });
      // Whoever listens no longer, or not yet, would be ended by this.
      await once(child, 'error').catch(() => undefined);
    });
  });
});
