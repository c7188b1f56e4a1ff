import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';

import { BootDeadline, bringUp } from '../../../src/backends/vm/boot-deadline.js';
import { never } from '../../contract/subject.js';

/** A machine that counts how often it is ended. */
class Machine {
  ends = 0;
  destroy(): Promise<void> {
    this.ends += 1;
    return Promise.resolve();
  }
}

const forever = (): Promise<never> => new Promise(() => undefined);

/** What work that hears of the end of its machine does. */
function until(signal: AbortSignal): Promise<void> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => {
      reject(new Error('the machine has ended'));
    });
  });
}

describe('the deadline of a boot', { timeout: 60_000 }, () => {
  it('ends what a machine is brought up with, and the machine, and says why', async () => {
    for (const [code, timeoutMs] of [
      ['boot_timeout', 1],
      ['canceled', 60_000],
    ] as const) {
      const caller = new AbortController();
      using deadline = new BootDeadline(caller.signal, timeoutMs);
      const machine = new Machine();
      const up = bringUp(machine, deadline, () => until(deadline.signal));
      if (code === 'canceled') caller.abort();
      await assert.rejects(up, { code });
      assert.ok(machine.ends > 0);
    }
  });

  it('was over before for a caller that had given up before', async () => {
    using deadline = new BootDeadline(AbortSignal.abort(), 60_000);
    const machine = new Machine();
    await assert.rejects(bringUp(machine, deadline, forever), { code: 'canceled' });
    assert.equal(machine.ends, 1);
  });

  it('passes on what comes of the work in time, and its failure, and leaves the machine alone', async () => {
    using deadline = new BootDeadline(never, 60_000);
    const machine = new Machine();
    assert.equal(await bringUp(machine, deadline, () => Promise.resolve('up')), 'up');
    const failure = new Error('no');
    await assert.rejects(
      bringUp(machine, deadline, () => Promise.reject(failure)),
      failure,
    );
    assert.equal(machine.ends, 0);
  });

  it('keeps no timer and no listener', async () => {
    const caller = new AbortController();
    const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const before = timers();
    {
      using deadline = new BootDeadline(caller.signal, 60_000);
      await bringUp(new Machine(), deadline, () => Promise.resolve());
      assert.equal(timers(), before + 1);
      assert.equal(getEventListeners(deadline.signal, 'abort').length, 0);
    }
    assert.equal(timers(), before);
    assert.equal(getEventListeners(caller.signal, 'abort').length, 0);
  });
});
