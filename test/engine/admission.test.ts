import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Admission } from '../../src/engine/admission.js';

const never: AbortSignal = new AbortController().signal;

describe('admission', () => {
  it('lets in as many as may run at once, the others in order of arrival', async () => {
    const admission = new Admission({ maxConcurrent: 2, maxQueued: 10 });
    const order: string[] = [];
    const enter = async (name: string): Promise<Disposable> => {
      const place = await admission.enter(never);
      order.push(name);
      return place;
    };
    const [one, two] = await Promise.all([enter('one'), enter('two')]);
    const three = enter('three');
    const four = enter('four');
    assert.deepEqual([admission.running, admission.queued, order], [2, 2, ['one', 'two']]);
    two[Symbol.dispose]();
    const third = await three;
    one[Symbol.dispose]();
    const fourth = await four;
    assert.deepEqual(order, ['one', 'two', 'three', 'four']);
    third[Symbol.dispose]();
    fourth[Symbol.dispose]();
    assert.deepEqual([admission.running, admission.queued], [0, 0]);
  });

  it('refuses who finds the queue full, and lets in again when there is room', async () => {
    const admission = new Admission({ maxConcurrent: 1, maxQueued: 1 });
    const first = await admission.enter(never);
    const second = admission.enter(never);
    await assert.rejects(admission.enter(never), { code: 'overloaded' });
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    (await admission.enter(never))[Symbol.dispose]();
    assert.equal(admission.running, 0);
  });

  it('forgets who goes away while waiting', async () => {
    const admission = new Admission({ maxConcurrent: 1, maxQueued: 5 });
    const first = await admission.enter(never);
    const controller = new AbortController();
    const impatient = admission.enter(controller.signal);
    const patient = admission.enter(never);
    controller.abort();
    await assert.rejects(impatient, { code: 'canceled' });
    assert.equal(admission.queued, 1);
    first[Symbol.dispose]();
    (await patient)[Symbol.dispose]();
    assert.deepEqual([admission.running, admission.queued], [0, 0]);
  });

  it('gives up a place once, however often it is disposed', async () => {
    const admission = new Admission({ maxConcurrent: 1, maxQueued: 0 });
    const place = await admission.enter(never);
    place[Symbol.dispose]();
    const next = await admission.enter(never);
    place[Symbol.dispose]();
    assert.equal(admission.running, 1);
    next[Symbol.dispose]();
  });

  it('does not let in who was canceled before', async () => {
    const admission = new Admission({ maxConcurrent: 1, maxQueued: 0 });
    await assert.rejects(admission.enter(AbortSignal.abort()), { code: 'canceled' });
    assert.equal(admission.running, 0);
  });
});
