import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { GlasshouseError } from '../../src/base/errors.js';
import { Admission, type AdmissionLimits, type Applicant } from '../../src/engine/admission.js';

const never: AbortSignal = new AbortController().signal;

function admissionOf(changes: Partial<AdmissionLimits> = {}): Admission {
  return new Admission({
    maxConcurrent: 2,
    memoryMb: 1000,
    cpus: 4,
    maxQueued: 10,
    queueTimeoutMs: 600_000,
    ...changes,
  });
}

function applicant(changes: Partial<Applicant> = {}): Applicant {
  const footprint = { memoryMb: 100, cpus: 1 };
  return { client: 'one', footprint, deadlineMs: null, onQueued: null, ...changes };
}

describe('admission', () => {
  it('lets in as many as may run at once, the others in order of arrival', async () => {
    const admission = admissionOf();
    const order: string[] = [];
    const enter = async (name: string): Promise<Disposable> => {
      const place = await admission.enter(applicant(), never);
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

  it('makes who needs more memory than is free wait, and those behind it for a while only', async () => {
    const admission = admissionOf({ maxConcurrent: 100 });
    const large = { client: 'large', footprint: { memoryMb: 950, cpus: 1 } };
    const small = { client: 'small', footprint: { memoryMb: 60, cpus: 0 } };
    const first = await admission.enter(applicant(small), never);
    const waiting = admission.enter(applicant(large), never);
    const second = await admission.enter(applicant(small), never);
    assert.deepEqual(admission.load.memoryMb, 120);
    first[Symbol.dispose]();
    second[Symbol.dispose]();
    const third = await waiting;
    assert.deepEqual([admission.load.memoryMb, admission.load.cpus, admission.running], [950, 1, 1]);
    third[Symbol.dispose]();
  });

  it('refuses what would never fit, naming the limit', async () => {
    const footprint = { memoryMb: 1001, cpus: 1 };
    const refused = admissionOf().enter(applicant({ footprint }), never);
    await assert.rejects(refused, { code: 'limit_exceeded', field: 'limits/memory_mb' });
  });

  it('refuses who finds the queue full, and lets in again when there is room', async () => {
    const admission = admissionOf({ maxConcurrent: 1, maxQueued: 1 });
    const first = await admission.enter(applicant(), never);
    const second = admission.enter(applicant(), never);
    await assert.rejects(admission.enter(applicant(), never), { code: 'overloaded', retryAfterMs: 2000 });
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    (await admission.enter(applicant(), never))[Symbol.dispose]();
    assert.equal(admission.running, 0);
  });

  it('takes a place in a full queue from the client that has the most, for one that has less', async () => {
    const admission = admissionOf({ maxConcurrent: 1, maxQueued: 3 });
    const running = await admission.enter(applicant({ client: 'greedy' }), never);
    const greedy = [1, 2, 3].map(() => admission.enter(applicant({ client: 'greedy' }), never));
    const modest = admission.enter(applicant({ client: 'modest' }), never);
    await assert.rejects(greedy[2] ?? modest, { code: 'overloaded' });
    assert.deepEqual([admission.queued, admission.load.waitingClients], [3, 2]);
    const order: string[] = [];
    const log = async (name: string, entered: Promise<Disposable> | undefined): Promise<void> => {
      using _place = await entered;
      order.push(name);
    };
    const all = [log('greedy', greedy[0]), log('greedy', greedy[1]), log('modest', modest)];
    running[Symbol.dispose]();
    await Promise.all(all);
    assert.deepEqual(order, ['greedy', 'modest', 'greedy']);
  });

  it('says when a place may be had, from how long executions took', async () => {
    let now = 0;
    const limits = { maxConcurrent: 2, memoryMb: 1000, cpus: 4, maxQueued: 2, queueTimeoutMs: 600_000 };
    const admission = new Admission(limits, () => now);
    const first = await Promise.all([
      admission.enter(applicant(), never),
      admission.enter(applicant(), never),
    ]);
    now = 8000;
    for (const place of first) place[Symbol.dispose]();
    const running = [await admission.enter(applicant(), never), await admission.enter(applicant(), never)];
    const waiting = [admission.enter(applicant(), never), admission.enter(applicant(), never)];
    // Two places, 8 s each: the two that wait and one more need 12 s.
    await assert.rejects(admission.enter(applicant(), never), { code: 'overloaded', retryAfterMs: 12_000 });
    for (const place of running) place[Symbol.dispose]();
    for (const place of await Promise.all(waiting)) place[Symbol.dispose]();
    assert.equal(admission.running, 0);
  });

  it('forgets who goes away while waiting', async () => {
    const admission = admissionOf({ maxConcurrent: 1 });
    const first = await admission.enter(applicant(), never);
    const controller = new AbortController();
    const impatient = admission.enter(applicant(), controller.signal);
    const patient = admission.enter(applicant(), never);
    controller.abort();
    await assert.rejects(impatient, { code: 'canceled' });
    assert.equal(admission.queued, 1);
    first[Symbol.dispose]();
    (await patient)[Symbol.dispose]();
    assert.deepEqual([admission.running, admission.queued], [0, 0]);
  });

  it('lets those in for whom no place was kept any more when the one that kept it goes away', async () => {
    const admission = admissionOf({ maxConcurrent: 100, maxQueued: 100 });
    const small = applicant({ client: 'small', footprint: { memoryMb: 1, cpus: 0 } });
    const first = await admission.enter(small, never);
    const controller = new AbortController();
    const large = applicant({ client: 'large', footprint: { memoryMb: 1000, cpus: 1 } });
    const waiting = admission.enter(large, controller.signal);
    const more = Array.from({ length: 20 }, () => admission.enter(small, never));
    assert.ok(admission.queued > 1, 'places are kept for the large one');
    controller.abort();
    await assert.rejects(waiting, { code: 'canceled' });
    for (const place of [first, ...(await Promise.all(more))]) place[Symbol.dispose]();
    assert.deepEqual([admission.running, admission.queued], [0, 0]);
  });

  it('ends a wait that takes too long: by its own deadline, or by that of the server', async () => {
    const admission = admissionOf({ maxConcurrent: 1, queueTimeoutMs: 20 });
    const first = await admission.enter(applicant(), never);
    await assert.rejects(admission.enter(applicant({ deadlineMs: 1 }), never), { code: 'deadline_exceeded' });
    await assert.rejects(admission.enter(applicant({ deadlineMs: 60_000 }), never), {
      code: 'queue_timeout',
    });
    await assert.rejects(admission.enter(applicant(), never), { code: 'queue_timeout' });
    assert.deepEqual([admission.running, admission.queued], [1, 0]);
    first[Symbol.dispose]();
  });

  it('tells who has to wait, and only them', async () => {
    const admission = admissionOf({ maxConcurrent: 1, maxQueued: 2 });
    const told: string[] = [];
    const enter = (name: string): Promise<Disposable> =>
      admission.enter(applicant({ onQueued: (waiting) => told.push(`${name} ${waiting}`) }), never);
    const first = await enter('first');
    const waiting = [enter('second'), enter('third')];
    await assert.rejects(enter('fourth'), { code: 'overloaded' });
    assert.deepEqual(told, ['second 1', 'third 2']);
    first[Symbol.dispose]();
    (await waiting[0])?.[Symbol.dispose]();
    (await waiting[1])?.[Symbol.dispose]();
  });

  it('gives up a place once, however often it is disposed', async () => {
    const admission = admissionOf({ maxConcurrent: 1, maxQueued: 0 });
    const place = await admission.enter(applicant(), never);
    place[Symbol.dispose]();
    const next = await admission.enter(applicant(), never);
    place[Symbol.dispose]();
    assert.equal(admission.running, 1);
    next[Symbol.dispose]();
  });

  it('does not let in who was canceled before', async () => {
    const admission = admissionOf({ maxConcurrent: 1, maxQueued: 0 });
    await assert.rejects(admission.enter(applicant(), AbortSignal.abort()), { code: 'canceled' });
    assert.equal(admission.running, 0);
  });
});

const LIMITS = { maxConcurrent: 4, memoryMb: 100, cpus: 6, maxQueued: 5, queueTimeoutMs: 600_000 };
const which = fc.nat({ max: 1000 });
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('enter' as const),
      client: fc.constantFrom('a', 'b', 'c'),
      memoryMb: fc.integer({ min: 1, max: 110 }),
      cpus: fc.integer({ min: 0, max: 8 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), which }) },
);

describe('whoever enters, leaves and cancels', () => {
  it('never goes over the limits, is let in or refused exactly once, and loses no place', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const admission = new Admission(LIMITS);
        const places: Disposable[] = [];
        const waiting = new Set<AbortController>();
        const ends: string[] = [];
        const enter = (client: string, memoryMb: number, cpus: number): void => {
          const controller = new AbortController();
          waiting.add(controller);
          admission
            .enter(applicant({ client, footprint: { memoryMb, cpus } }), controller.signal)
            .then(
              (place) => {
                places.push(place);
                ends.push('admitted');
              },
              (error: unknown) => {
                ends.push(error instanceof GlasshouseError ? error.code : String(error));
              },
            )
            .finally(() => waiting.delete(controller));
        };
        let entered = 0;
        for (const one of steps) {
          if (one.kind === 'enter') {
            entered += 1;
            enter(one.client, one.memoryMb, one.cpus);
          } else if (one.kind === 'leave')
            places.splice(one.which % (places.length || 1), 1)[0]?.[Symbol.dispose]();
          else [...waiting][one.which % (waiting.size || 1)]?.abort();
          const { running, memoryMb, cpus, queued } = admission.load;
          assert.ok(running <= 4 && memoryMb <= 100 && cpus <= 6 && queued <= 5);
          await new Promise(setImmediate);
          assert.deepEqual([admission.running, admission.queued], [places.length, waiting.size]);
        }
        while (places.length > 0) {
          places.pop()?.[Symbol.dispose]();
          await new Promise(setImmediate);
        }
        const { running, queued, memoryMb, cpus, waitingClients } = admission.load;
        assert.deepEqual([running, queued, memoryMb, cpus, waitingClients], [0, 0, 0, 0, 0]);
        assert.equal(ends.length, entered);
        const known = ['admitted', 'canceled', 'overloaded', 'limit_exceeded'];
        assert.deepEqual(
          ends.filter((end) => !known.includes(end)),
          [],
        );
      }),
    );
  });
});
