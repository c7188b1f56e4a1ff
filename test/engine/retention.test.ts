import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { GlasshouseError } from '../../src/base/errors.js';
import { Retention, type RetentionOptions } from '../../src/engine/retention.js';
import { type RetentionPolicy } from '../../src/receipts/store.js';

const HOUR_MS = 3_600_000;

/** Resolves when the given number of rounds has been made; the policy of each is in `policies`. */
function rounds(
  wanted: number,
  behaviour: () => number,
): {
  readonly policies: RetentionPolicy[];
  readonly done: Promise<void>;
  readonly options: RetentionOptions;
  readonly reports: string[];
} {
  const policies: RetentionPolicy[] = [];
  const reports: string[] = [];
  let finish: () => void = () => undefined;
  const done = new Promise<void>((resolve) => (finish = resolve));
  const options: RetentionOptions = {
    store: {
      dropOutputs: async (policy) => {
        policies.push(policy);
        if (policies.length === wanted) finish();
        return Promise.resolve({ receipts: behaviour(), bytes: 1 });
      },
    },
    maxAgeMs: HOUR_MS,
    maxBytes: null,
    intervalMs: 1,
    onDropped: ({ receipts }) => reports.push(`dropped ${receipts}`),
    onFailed: ({ code }) => reports.push(code),
  };
  return { policies, done, options, reports };
}

describe('Retention', () => {
  it('drops what is too old, again and again, and says so when there was something', async () => {
    let left = 2;
    const seen = rounds(3, () => left--);
    const before = Date.now();
    {
      await using _retention = new Retention(seen.options);
      await seen.done;
    }
    assert.deepEqual(seen.reports, ['dropped 2', 'dropped 1']);
    for (const { olderThanMs } of seen.policies) {
      assert.ok(
        olderThanMs !== null && olderThanMs >= before - HOUR_MS && olderThanMs <= Date.now() - HOUR_MS,
      );
    }
  });

  it('goes on after a failure', async () => {
    const seen = rounds(2, () => {
      throw new GlasshouseError('disk_full', 'No room.');
    });
    {
      await using _retention = new Retention(seen.options);
      await seen.done;
    }
    assert.deepEqual(seen.reports, ['disk_full', 'disk_full']);
  });

  it('does nothing without a bound', async () => {
    const seen = rounds(1, () => 1);
    await using _retention = new Retention({ ...seen.options, maxAgeMs: null });
    assert.deepEqual(seen.policies, []);
  });
});
