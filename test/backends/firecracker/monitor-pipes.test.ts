import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { Cell } from '../../../src/backends/firecracker/cell.js';
import { FILES } from '../../../src/backends/firecracker/machine-setup.js';
import { MAX_LINE_BYTES, MetricsTally } from '../../../src/backends/firecracker/metrics.js';
import { MonitorPipes } from '../../../src/backends/firecracker/monitor-pipes.js';
import { openDescriptors, ScratchDirectory } from '../../contract/subject.js';

const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

/** The other side: opens both as Firecracker does. */
class Writer implements AsyncDisposable {
  readonly log: FileHandle;
  readonly metrics: FileHandle;

  private constructor(log: FileHandle, metrics: FileHandle) {
    this.log = log;
    this.metrics = metrics;
  }

  static async in(cell: Cell): Promise<Writer> {
    const paths = [FILES.log, FILES.metrics].map((name) => join(cell.root, name));
    spawnSync('mkfifo', paths);
    const [log, metrics] = await Promise.all(
      paths.map((path) => open(path, constants.O_RDWR | constants.O_NONBLOCK)),
    );
    assert.ok(log !== undefined && metrics !== undefined);
    return new Writer(log, metrics);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.log.close();
    await this.metrics.close();
  }
}

const throttledOf = (tally: MetricsTally): number =>
  tally.gauges().find(({ name }) => name === 'firecracker_disk_throttled')?.value ?? 0;

const LINE = '{"block":{"rate_limiter_throttled_events":2}}\n';

describe('what a Firecracker says of itself', { timeout: 60_000 }, () => {
  it('is its log, and its metrics as they come', async () => {
    const descriptors = openDescriptors();
    {
      await using cell = await Cell.create(scratch.make('cells'), 'firecracker');
      const tally = new MetricsTally();
      const pipes = new MonitorPipes(tally);
      await using writer = await Writer.in(cell);
      pipes.open(cell);
      await writer.log.write('cannot go on\n');
      await writer.metrics.write(LINE);
      while (throttledOf(tally) < 2 || pipes.log.isEmpty) await nextTurn();
      // What is written last is taken when it has ended, also when somebody still has the other side open.
      await writer.metrics.write(LINE);
      await pipes.close();
      assert.equal(throttledOf(tally), 4);
      assert.equal(pipes.log.text, 'cannot go on\n');
      await pipes.close();
    }
    assert.deepEqual(openDescriptors(), descriptors);
  });

  it('is bounded: the end of the log, and metrics until they make no sense', async () => {
    await using cell = await Cell.create(scratch.make('cells'), 'firecracker');
    const tally = new MetricsTally();
    const pipes = new MonitorPipes(tally);
    await using writer = await Writer.in(cell);
    pipes.open(cell);
    for (let round = 0; round < 32; round += 1) {
      await writer.log.write(`${round}`.padStart(1024, '.'));
      await nextTurn();
    }
    while (!pipes.log.text.endsWith('31')) await nextTurn();
    assert.ok(pipes.log.text.length <= 16_384);
    const isOver = async (): Promise<boolean> => {
      try {
        await writer.metrics.write('x'.repeat(4096));
        return false;
      } catch (error) {
        // Nobody reads on: the pipe is full, and Firecracker does not wait for it.
        assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
        return true;
      }
    };
    let written = 0;
    while (!(await isOver())) written += 4096;
    assert.ok(written >= MAX_LINE_BYTES);
    await pipes.close();
    const unreadable = tally.gauges().find(({ name }) => name === 'firecracker_metrics_unreadable');
    assert.equal(unreadable?.value, 1);
  });

  it('leaves no descriptor when a pipe is missing', async () => {
    await using cell = await Cell.create(scratch.make('cells'), 'firecracker');
    spawnSync('mkfifo', [join(cell.root, FILES.log)]);
    const descriptors = openDescriptors();
    const pipes = new MonitorPipes(new MetricsTally());
    assert.throws(
      () => {
        pipes.open(cell);
      },
      { code: 'vmm_failed' },
    );
    await pipes.close();
    assert.deepEqual(openDescriptors(), descriptors);
  });
});
