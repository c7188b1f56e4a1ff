import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { findInconsistency } from '../../src/receipts/consistency.js';
import { type HostObservation } from '../../src/receipts/observed.js';
import { type Predicate } from '../../src/receipts/receipt.js';
import { buildStatement } from '../../src/receipts/statement.js';
import { observedPredicate } from './observed-sample.js';
import { samplePredicate } from './sample.js';

const problemWith = (changes: Partial<Predicate>): string | null =>
  findInconsistency(buildStatement(observedPredicate(changes)));

const sample = observedPredicate();
const [first, second] = sample.process_tree;
const observation = sample.observation as HostObservation;
assert.ok(first !== undefined && second !== undefined);
assert.ok(sample.filesystem !== null);
const { filesystem } = sample;

const contradictions: readonly (readonly [string, Partial<Predicate>])[] = [
  ['something observed at level none', { observation: samplePredicate().observation }],
  ['no files at level host', { filesystem: null }],
  ['no network at level host', { network: null }],
  ['no system calls at level host', { syscalls: null }],
  ['the host observing what it did not see', { provenance: 'guest' }],
  [
    'completeness with a blind end',
    { observation: { ...observation, complete: true, dropped: {}, omitted: {} } },
  ],
  [
    'completeness with a loss',
    { observation: { ...observation, complete: true, blind_from_us: null, omitted: {} } },
  ],
  ['two processes of one id', { process_tree: [first, { ...second, id: 1, parent: null }] }],
  ['a parent that is not listed', { process_tree: [first, { ...second, parent: 7 }] }],
  ['a process as its own parent', { process_tree: [first, { ...second, parent: 2 }] }],
  ['an end before the start', { process_tree: [first, { ...second, started_us: 2, ended_us: 1 }] }],
  ['an exit code and a signal', { process_tree: [first, { ...second, exit_code: 1 }] }],
  ['a deed by nobody who is listed', { process_tree: [first] }],
  [
    'a deed by more processes than times',
    {
      filesystem: {
        ...filesystem,
        deletes: filesystem.deletes.map((one) => ({ ...one, processes: [1, 2] })),
      },
    },
  ],
  [
    'the processes of a deed out of order',
    {
      filesystem: {
        ...filesystem,
        deletes: filesystem.deletes.map((one) => ({ ...one, count: 2, processes: [2, 1] })),
      },
    },
  ],
];

describe('the consistency of what was observed', () => {
  it('holds for the sample', () => {
    assert.equal(problemWith({}), null);
  });

  it('holds for a complete observation', () => {
    const complete = {
      ...observation,
      complete: true,
      reason: null,
      blind_from_us: null,
      dropped: { ring_buffer: 0 },
    };
    assert.equal(problemWith({ observation: { ...complete, omitted: {} } }), null);
  });

  for (const [name, changes] of contradictions) {
    it(`is broken by ${name}`, () => {
      assert.notEqual(problemWith(changes), null);
    });
  }
});
