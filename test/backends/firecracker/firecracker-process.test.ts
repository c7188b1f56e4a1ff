import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { Cell } from '../../../src/backends/firecracker/cell.js';
import { FirecrackerProcess, lineOfDescent } from '../../../src/backends/firecracker/firecracker-process.js';
import { MetricsTally } from '../../../src/backends/firecracker/metrics.js';
import { outputOf } from '../../../src/backends/vm/monitor-streams.js';
import { hostHelper } from '../../../src/base/host-helper.js';
import { hasEnded, readProcess } from '../../../src/base/process-table.js';
import { ScratchDirectory } from '../../contract/subject.js';

const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

const keeper = hostHelper('keep-machine');
const skip =
  process.getuid?.() !== 0
    ? 'only root makes namespaces'
    : existsSync(keeper)
      ? false
      : 'build/host/keep-machine is not built';

/** Tells nobody that it goes on: its streams are closed, and it makes names in its cell for as long as it lives. */
const TAKEN_OVER = [
  'exec >&- 2>&-',
  'while :; do',
  '  n=$((n+1)); mkdir -p "d$n/e/f"; : > "d$n/e/file"; ln -s /etc "d$n/e/link"; mv "d$n" "d$n-moved"; : > ready',
  'done',
].join('\n');

describe('a Firecracker that was taken over', { skip, timeout: 60_000 }, () => {
  it('is gone with all its processes when its machine is, and so is what it made in its cell', async () => {
    const base = scratch.make('cells');
    for (let round = 0; round < 10; round += 1) {
      const cell = await Cell.create(base, 'firecracker');
      const child = spawn(
        keeper,
        [String(process.pid), cell.root, '0', 'namespaces', '--', '/bin/sh', '-c', TAKEN_OVER],
        { env: {}, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] },
      );
      const running = Object.assign(child, outputOf(child, 'It'));
      const tally = new MetricsTally();
      const machine = new FirecrackerProcess(running, cell, 'booting guest', true, tally);
      while (!existsSync(join(cell.root, 'ready'))) await delay(1);
      const line = lineOfDescent(child.pid ?? 0);
      assert.ok(line.length >= 3);
      for (let times = 0; times < 2; times += 1) await machine.takeStock();
      const unheard = tally.gauges().find(({ name }) => name === 'firecracker_metrics_unheard');
      assert.equal(unheard?.value, 1, 'nobody answers, which is counted once');
      await machine.destroy();
      const left = line.map(readProcess).filter((entry) => entry !== null && !hasEnded(entry));
      assert.deepEqual(left, []);
      assert.deepEqual(readdirSync(join(base, 'firecracker')), []);
    }
  });
});
