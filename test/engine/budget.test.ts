import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Budget } from '../../src/engine/budget.js';

describe('the budget', () => {
  it('is kept in places, memory and CPUs', () => {
    const budget = new Budget({ maxConcurrent: 3, memoryMb: 1000, cpus: 4 });
    budget.take({ memoryMb: 600, cpus: 1 });
    assert.equal(budget.fits({ memoryMb: 401, cpus: 1 }), false);
    assert.equal(budget.fits({ memoryMb: 400, cpus: 4 }), false);
    assert.equal(budget.fits({ memoryMb: 400, cpus: 3 }), true);
    budget.take({ memoryMb: 1, cpus: 0 });
    budget.take({ memoryMb: 1, cpus: 0 });
    assert.equal(budget.fits({ memoryMb: 0, cpus: 0 }), false);
    assert.deepEqual([budget.running, budget.memoryMb, budget.cpus], [3, 602, 1]);
  });

  it('has everything back in the end', () => {
    const budget = new Budget({ maxConcurrent: 2, memoryMb: 100, cpus: 2 });
    const footprint = { memoryMb: 60, cpus: 5 };
    budget.take(footprint);
    budget.give(footprint);
    assert.deepEqual([budget.running, budget.memoryMb, budget.cpus], [0, 0, 0]);
  });

  it('lets one that wants more CPUs than there are run alone', () => {
    const budget = new Budget({ maxConcurrent: 2, memoryMb: 100, cpus: 2 });
    const greedy = { memoryMb: 1, cpus: 4 };
    assert.ok(budget.couldFit(greedy) && budget.fits(greedy));
    budget.take(greedy);
    assert.equal(budget.cpus, 2);
    assert.equal(budget.fits({ memoryMb: 1, cpus: 1 }), false);
  });

  it('knows what can never fit', () => {
    const budget = new Budget({ maxConcurrent: 2, memoryMb: 100, cpus: 2 });
    assert.equal(budget.couldFit({ memoryMb: 101, cpus: 1 }), false);
    assert.equal(budget.couldFit({ memoryMb: 100, cpus: 1 }), true);
  });
});
