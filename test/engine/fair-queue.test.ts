import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { FairQueue, MOST_OVERTAKINGS, type Waiting } from '../../src/engine/fair-queue.js';

const anything = (): boolean => true;

function taken(queue: FairQueue<string>, fits: (item: string) => boolean = anything): string[] {
  const order: string[] = [];
  for (let item = queue.takeNext(fits); item !== null; item = queue.takeNext(fits)) order.push(item);
  return order;
}

describe('the fair queue', () => {
  it('lets clients take turns, and each keep its own order', () => {
    const queue = new FairQueue<string>();
    for (const item of ['a1', 'a2', 'a3', 'b1', 'c1', 'c2']) queue.push(item.slice(0, 1), item);
    assert.deepEqual([queue.size, queue.clients], [6, 3]);
    assert.deepEqual(taken(queue), ['a1', 'b1', 'c1', 'a2', 'c2', 'a3']);
    assert.deepEqual([queue.size, queue.clients], [0, 0]);
  });

  it('lets a newcomer go after one of a client with a thousand', () => {
    const queue = new FairQueue<string>();
    for (let index = 0; index < 1000; index += 1) queue.push('greedy', `greedy ${index}`);
    queue.push('modest', 'modest');
    assert.deepEqual([queue.takeNext(anything), queue.takeNext(anything)], ['greedy 0', 'modest']);
  });

  it('passes what does not fit a bounded number of times, then keeps what is free for it', () => {
    const queue = new FairQueue<string>();
    queue.push('large', 'large');
    for (let index = 0; index < 100; index += 1) queue.push('small', 'small');
    assert.equal(taken(queue, (item) => item === 'small').length, MOST_OVERTAKINGS);
    assert.equal(queue.takeNext(anything), 'large');
    assert.equal(queue.takeNext(anything), 'small');
  });

  it('lets nobody overtake within one client', () => {
    const queue = new FairQueue<string>();
    queue.push('one', 'large');
    queue.push('one', 'small');
    assert.equal(
      queue.takeNext((item) => item === 'small'),
      null,
    );
  });

  it('forgets who goes away, once', () => {
    const queue = new FairQueue<string>();
    const first = queue.push('a', 'a1');
    queue.push('a', 'a2');
    queue.remove(first);
    queue.remove(first);
    assert.deepEqual([queue.size, taken(queue)], [1, ['a2']]);
  });

  it('has the newest of the longest go when there are too many, the newcomer in doubt', () => {
    const queue = new FairQueue<string>();
    for (const item of ['a1', 'a2', 'a3', 'b1']) queue.push(item.slice(0, 1), item);
    assert.equal(queue.takeSurplus(queue.push('b', 'b2')), 'a3');
    assert.equal(queue.takeSurplus(queue.push('b', 'b3')), 'b3');
    assert.equal(queue.takeSurplus(queue.push('a', 'a4')), 'a4');
    assert.equal(queue.size, 4);
  });
});

interface Model {
  readonly name: number;
  readonly client: string;
  readonly needs: number;
  /** Place in the line of its own client when it came, from 1. */
  readonly place: number;
  /** Most clients that waited at the same time as it. */
  clients: number;
  /** How many went while it waited. */
  seen: number;
}

type Step =
  | { readonly kind: 'come'; readonly client: string; readonly needs: number }
  | { readonly kind: 'leave' | 'finish'; readonly which: number };

const CAPACITY = 10;
const which = fc.nat({ max: 1000 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('come' as const),
      client: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      // Mostly small ones, which would starve the large ones if they could.
      needs: fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: CAPACITY })),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), which }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('finish' as const), which }) },
);

describe('whatever comes, leaves and finishes', () => {
  it('is within the capacity, in order within a client, taken once, and waits no longer than promised', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const queue = new FairQueue<Model>();
        const waiting = new Map<Model, Waiting<Model>>();
        const running: Model[] = [];
        let used = 0;
        let names = 0;
        const takeAll = (): void => {
          for (const model of waiting.keys()) model.clients = Math.max(model.clients, queue.clients);
          const fits = ({ needs }: Model): boolean => used + needs <= CAPACITY;
          for (let next = queue.takeNext(fits); next !== null; next = queue.takeNext(fits)) {
            const { client, name, place, clients, seen } = next;
            assert.ok(waiting.delete(next), 'it waited');
            used += next.needs;
            running.push(next);
            assert.ok(used <= CAPACITY);
            for (const other of waiting.keys()) {
              other.seen += 1;
              assert.ok(other.client !== client || other.name > name, 'in order within a client');
            }
            assert.ok(seen <= place * (clients + MOST_OVERTAKINGS), `${seen} went before it`);
          }
        };
        const finish = (index: number): void => {
          const [gone] = running.splice(index % running.length, 1);
          used -= gone?.needs ?? 0;
          takeAll();
        };
        for (const one of steps) {
          if (one.kind === 'come') {
            const { client, needs } = one;
            const place = [...waiting.keys()].filter((model) => model.client === client).length + 1;
            const model: Model = { name: (names += 1), client, needs, place, clients: 0, seen: 0 };
            waiting.set(model, queue.push(client, model));
            takeAll();
          } else if (one.kind === 'finish' && running.length > 0) finish(one.which);
          else if (one.kind === 'leave' && waiting.size > 0) {
            const leaving = [...waiting][one.which % waiting.size];
            assert.ok(leaving !== undefined);
            waiting.delete(leaving[0]);
            queue.remove(leaving[1]);
            takeAll();
          }
          assert.equal(queue.size, waiting.size);
        }
        while (running.length > 0) finish(0);
        assert.deepEqual([queue.size, waiting.size, used], [0, 0, 0], 'everybody gets a turn in the end');
      }),
      { numRuns: 500 },
    );
  });
});
