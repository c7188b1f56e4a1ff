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
import { MAX_LOG_BYTES, MonitorPipes } from '../../../src/backends/firecracker/monitor-pipes.js';
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

/** At least so many bytes, of `text` again and again, as there is room for them. */
async function write(pipe: FileHandle, text: string, bytes = text.length): Promise<void> {
  for (let left = bytes; left > 0;) {
    try {
      left -= (await pipe.write(text)).bytesWritten;
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
    }
    await nextTurn();
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
      await write(writer.log, 'cannot go on\n');
      await write(writer.metrics, LINE);
      while (throttledOf(tally) < 2 || pipes.log.isEmpty) await nextTurn();
      // What is written last is taken when it has ended, also when somebody still has the other side open.
      await write(writer.metrics, LINE);
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
    for (let round = 0; round < 32; round += 1) await write(writer.log, `${round}`.padStart(1024, '.'));
    while (!pipes.log.text.endsWith('31')) await nextTurn();
    assert.ok(pipes.log.text.length <= 16_384);
    await write(writer.metrics, 'x'.repeat(4096), MAX_LINE_BYTES + 1);
    await pipes.close();
    const unheard = tally.gauges().find(({ name }) => name === 'firecracker_metrics_unheard');
    assert.equal(unheard?.value, 1);
  });

  it('is a log that is no longer listened to when it never ends', async () => {
    await using cell = await Cell.create(scratch.make('cells'), 'firecracker');
    const pipes = new MonitorPipes(new MetricsTally());
    await using writer = await Writer.in(cell);
    pipes.open(cell);
    await write(writer.log, '.'.repeat(4096), MAX_LOG_BYTES);
    await write(writer.log, 'late');
    await pipes.close();
    assert.match(pipes.log.text, /^\.+$/);
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
