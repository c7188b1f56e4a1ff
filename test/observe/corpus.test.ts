import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import { withoutObservation } from './observation.js';
import { CORPUS } from './corpus.js';
import { Arena, cannotCompare, cannotRun } from './run-workload.js';

describe(
  'an observed command and the same one under strace',
  { skip: withoutObservation || cannotCompare() },
  () => {
    // Not `using`: the tests run after this function has returned.
    const arena = new Arena();
    after(() => {
      arena[Symbol.dispose]();
    });

    it('are compared in at least 25 ways', () => {
      assert.ok(CORPUS.length >= 25);
    });

    for (const workload of CORPUS) {
      const skip = cannotRun(workload);
      it(`did the same: ${workload.name}`, { skip }, () => {
        const { comparison, predicate, straceFacts } = arena.see(workload);
        assert.ok(straceFacts > 0);
        assert.deepEqual(
          { missing: comparison.missing, invented: comparison.invented },
          { missing: [], invented: [] },
        );
        const { observation } = predicate;
        assert.ok(observation.level === 'host');
        assert.deepEqual(lossesIn(observation.dropped), []);
        assert.equal(observation.blind_from_us, null);
      });
    }
  },
);

/** The ring buffer has room for all of it. */
function lossesIn(dropped: Readonly<Record<string, number>>): string[] {
  return Object.keys(dropped).filter((name) => name.startsWith('lost_') || name === 'untracked');
}
