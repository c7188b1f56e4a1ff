import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import fc from 'fast-check';

import { ClonePool, REST_MS, SHORT_REST_MS } from '../../../src/backends/vm/clone-pool.js';
import { type Guest } from '../../../src/backends/vm/guest.js';
import { type MachineEnd } from '../../../src/backends/vm/machine.js';
import { withResolvers } from '../../contract/programs.js';

/** What the pool sees of a machine: that it can be ended, and that it may end by itself. */
class Machine {
  readonly #end = withResolvers<MachineEnd>();
  alive = true;
  readonly ended = this.#end.promise;

  destroy(): Promise<void> {
    this.alive = false;
    this.#end.resolve({ description: 'gone', lastWords: '' });
    return Promise.resolve();
  }
}

interface Order {
  arrive(): Machine;
  fail(): void;
}

/** Everything around a pool, each part of it under the control of a test. */
class Surroundings {
  readonly orders: Order[] = [];
  readonly machines: Machine[] = [];
  busy = false;
  availableMb = 10_000;
  timeMs = 0;
  readonly pool: ClonePool;

  constructor(size: number) {
    this.pool = new ClonePool({
      size,
      restore: () => this.#order(),
      isBusy: () => this.busy,
      availableMb: () => this.availableMb,
      reserveMb: 1000,
      now: () => this.timeMs,
    });
  }

  /** Lets everything arrive until the pool asks for no more. */
  async settle(): Promise<void> {
    await setImmediate();
    while (this.orders.length > 0) {
      this.orders.shift()?.arrive();
      await setImmediate();
    }
  }

  /** The one after it is nearly made as soon as it is begun: in no time, as the first one was. */
  async useTheFirst(): Promise<void> {
    this.pool.refill();
    await this.settle();
    await this.pool.take();
  }

  get alive(): number {
    return this.machines.filter(({ alive }) => alive).length;
  }

  #order(): Promise<Guest> {
    return new Promise((resolve, reject) => {
      this.orders.push({
        arrive: () => {
          const machine = new Machine();
          this.machines.push(machine);
          resolve({ machine } as unknown as Guest);
          return machine;
        },
        fail: () => {
          reject(new Error('no clone today'));
        },
      });
    });
  }
}

describe('a pool of clones', () => {
  it('makes one after the other until enough of them wait', async () => {
    const around = new Surroundings(3);
    assert.equal(around.orders.length, 0);
    around.pool.refill();
    around.pool.refill();
    assert.equal(around.orders.length, 1);
    await around.settle();
    assert.deepEqual([around.pool.ready, around.machines.length], [3, 3]);
    around.pool.refill();
    assert.equal(around.orders.length, 0);
    await around.pool[Symbol.asyncDispose]();
  });

  it('gives each clone to one caller, the oldest first', async () => {
    const around = new Surroundings(2);
    around.pool.refill();
    await around.settle();
    const taken = [await around.pool.take(), await around.pool.take()].map(
      (guest) => guest?.machine as unknown,
    );
    assert.deepEqual(taken, around.machines);
    assert.equal(around.pool.take(), null);
    await around.pool[Symbol.asyncDispose]();
    assert.equal(around.alive, 2, 'what was taken belongs to whoever took it');
  });

  it('lets nobody wait for the first clone, which takes longest', async () => {
    const around = new Surroundings(1);
    around.pool.refill();
    around.timeMs = 10_000;
    assert.equal(around.pool.take(), null);
    around.pool.refill();
    await around.settle();
    assert.equal(around.pool.ready, 1);
    await around.pool[Symbol.asyncDispose]();
  });

  it('lets one caller wait for a clone that is nearly made, and no second one', async () => {
    const around = new Surroundings(1);
    await around.useTheFirst();
    around.pool.refill();
    const waiting = around.pool.take();
    assert.notEqual(waiting, null);
    assert.equal(around.pool.take(), null);
    const machine = around.orders.shift()?.arrive();
    assert.equal((await waiting)?.machine, machine);
    assert.equal(around.pool.ready, 0);
    await around.pool[Symbol.asyncDispose]();
  });

  it('lets nobody wait for a clone that has just been begun, once it is known how long one takes', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const around = new Surroundings(1);
    around.pool.refill();
    around.timeMs = 300;
    await around.settle();
    assert.notEqual(await around.pool.take(), null);
    t.mock.timers.tick(SHORT_REST_MS);
    assert.equal(around.orders.length, 1);
    around.timeMs += 224;
    assert.equal(around.pool.take(), null);
    around.timeMs += 1;
    assert.notEqual(around.pool.take(), null);
    await around.settle();
    await around.pool[Symbol.asyncDispose]();
  });

  it('makes the next one a while after an execution has begun or ended', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const around = new Surroundings(2);
    around.pool.refill();
    await around.settle();
    await around.pool.take();
    t.mock.timers.tick(REST_MS - 1);
    around.pool.refillSoon();
    t.mock.timers.tick(REST_MS - 1);
    assert.equal(around.orders.length, 0);
    t.mock.timers.tick(1);
    assert.equal(around.orders.length, 1);
    await around.settle();
    await around.pool[Symbol.asyncDispose]();
  });

  it('rests for less when none is left', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const around = new Surroundings(1);
    around.pool.refill();
    await around.settle();
    await around.pool.take();
    t.mock.timers.tick(SHORT_REST_MS - 1);
    assert.equal(around.orders.length, 0);
    t.mock.timers.tick(1);
    assert.equal(around.orders.length, 1);
    await around.settle();
    await around.pool[Symbol.asyncDispose]();
  });

  it('tells who waits for a clone that it could not be made, counts it, and goes on when it is asked', async () => {
    const around = new Surroundings(1);
    await around.useTheFirst();
    around.pool.refill();
    const waiting = around.pool.take();
    around.orders.shift()?.fail();
    await assert.rejects(waiting ?? Promise.resolve(), /no clone today/);
    assert.deepEqual([around.pool.failures, around.orders.length], [1, 0]);
    around.pool.refill();
    await around.settle();
    assert.equal(around.pool.ready, 1);
    await around.pool[Symbol.asyncDispose]();
  });

  it('forgets a clone that dies while it waits', async () => {
    const around = new Surroundings(2);
    around.pool.refill();
    await around.settle();
    await around.machines[0]?.destroy();
    await setImmediate();
    assert.equal(around.pool.ready, 1);
    assert.equal((await around.pool.take())?.machine, around.machines[1]);
    await around.pool[Symbol.asyncDispose]();
  });

  it('makes nothing while running work needs the processors, or memory is short', async () => {
    const around = new Surroundings(1);
    around.busy = true;
    around.pool.refill();
    around.busy = false;
    around.availableMb = 999;
    around.pool.refill();
    assert.equal(around.orders.length, 0);
    around.availableMb = 1000;
    around.pool.refill();
    assert.equal(around.orders.length, 1);
    await around.settle();
    await around.pool[Symbol.asyncDispose]();
  });

  it('stops after the clone that is being made when work begins', async () => {
    const around = new Surroundings(3);
    around.pool.refill();
    around.busy = true;
    await around.settle();
    assert.equal(around.pool.ready, 1);
    await around.pool[Symbol.asyncDispose]();
  });

  it('gives clones back when a guest that boots needs their memory, and no more than it needs', async () => {
    const around = new Surroundings(3);
    around.pool.refill();
    await around.settle();
    const before = around.availableMb;
    Object.defineProperty(around, 'availableMb', { get: () => before - 100 * around.alive });
    await around.pool.makeRoom(before - 150);
    assert.deepEqual([around.pool.ready, around.alive], [1, 1]);
    await around.pool.makeRoom(Number.POSITIVE_INFINITY);
    assert.deepEqual([around.pool.ready, around.alive], [0, 0]);
    await around.pool[Symbol.asyncDispose]();
  });

  it('gives clones back one by one while memory stays short, and makes new ones when it is there again', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const around = new Surroundings(3);
    around.pool.refill();
    await around.settle();
    around.availableMb = 400;
    t.mock.timers.tick(5_000);
    await setImmediate();
    assert.deepEqual([around.pool.ready, around.alive], [2, 2]);
    t.mock.timers.tick(5_000);
    await setImmediate();
    assert.deepEqual([around.pool.ready, around.alive], [1, 1]);
    around.availableMb = 5000;
    t.mock.timers.tick(5_000);
    await around.settle();
    assert.equal(around.pool.ready, 3);
    await around.pool[Symbol.asyncDispose]();
  });

  it('ends every clone in the end, the one that is being made among them', async () => {
    const around = new Surroundings(2);
    around.pool.refill();
    await setImmediate();
    around.orders.shift()?.arrive();
    await setImmediate();
    assert.deepEqual([around.pool.ready, around.orders.length], [1, 1]);
    const ended = around.pool[Symbol.asyncDispose]();
    around.orders.shift()?.arrive();
    await ended;
    assert.deepEqual([around.machines.length, around.alive], [2, 0]);
    around.pool.refill();
    assert.equal(around.orders.length, 0);
  });

  it('never has more than its size, and never gives one twice, whatever happens', async () => {
    const step = fc.constantFrom(
      'refill',
      'refill soon',
      'take',
      'arrive',
      'fail',
      'die',
      'busy',
      'idle',
      'short',
      'plenty',
      'room',
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(4), fc.array(step, { maxLength: 60 }), async (size, steps) => {
        const around = new Surroundings(size);
        const taken: unknown[] = [];
        const claims: Promise<unknown>[] = [];
        for (const what of steps) {
          if (what === 'refill') around.pool.refill();
          if (what === 'refill soon') around.pool.refillSoon();
          if (what === 'take')
            claims.push(
              Promise.resolve(around.pool.take()).then(
                (guest) => guest && taken.push(guest.machine),
                () => 0,
              ),
            );
          if (what === 'arrive') around.orders.shift()?.arrive();
          if (what === 'fail') around.orders.shift()?.fail();
          if (what === 'die') await around.machines.find(({ alive }) => alive)?.destroy();
          if (what === 'busy' || what === 'idle') around.busy = what === 'busy';
          if (what === 'short' || what === 'plenty') around.availableMb = what === 'short' ? 1 : 10_000;
          if (what === 'room') await around.pool.makeRoom(5000);
          await setImmediate();
          assert.ok(around.pool.ready <= size && around.orders.length <= 1);
        }
        const ended = around.pool[Symbol.asyncDispose]();
        around.orders.shift()?.arrive();
        await Promise.all([ended, ...claims]);
        assert.equal(new Set(taken).size, taken.length, 'one was given twice');
        assert.deepEqual(
          around.machines.filter((machine) => machine.alive && !taken.includes(machine)),
          [],
          'one that nobody has lives on',
        );
      }),
      { numRuns: 200 },
    );
  });
});
