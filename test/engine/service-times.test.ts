import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { ServiceTimes } from '../../src/engine/service-times.js';

describe('observed service times', () => {
  it('tell when those that wait will be worked off', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 5000 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 50 }),
        (serviceMs, places, waiting) => {
          const times = new ServiceTimes();
          times.begin(0);
          times.end(0, serviceMs);
          for (let place = 0; place < places; place += 1) times.begin(serviceMs);
          const expected = ((waiting + 1) * serviceMs) / places;
          const bounded = Math.min(300_000, Math.max(1000, expected));
          assert.ok(Math.abs(times.untilWorkedOff(waiting, serviceMs) - bounded) < 1e-6);
        },
      ),
    );
  });

  it('follow a change', () => {
    const times = new ServiceTimes();
    for (let run = 0; run < 30; run += 1) {
      times.begin(0);
      times.end(0, run < 15 ? 10_000 : 2000);
    }
    const estimate = times.untilWorkedOff(0, 0);
    assert.ok(estimate > 2000 && estimate < 2500, String(estimate));
  });

  it('learn from those that still run: they have taken that long at least', () => {
    const times = new ServiceTimes();
    times.begin(0);
    times.begin(0);
    assert.equal(times.untilWorkedOff(3, 60_000), 120_000);
  });

  it('are never less than a second and never more than five minutes', () => {
    const times = new ServiceTimes();
    assert.equal(times.untilWorkedOff(0, 0), 1000);
    times.begin(0);
    assert.equal(times.untilWorkedOff(1000, 60_000), 300_000);
  });
});
