import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';

import { EXECUTION_STATUSES, type ExecutionStatus, type Predicate } from '../../src/receipts/receipt.js';
import { STORE_MIGRATIONS } from '../../src/receipts/store-schema.js';
import { ALL_RECEIPTS, type ReceiptFilter, ReceiptStore } from '../../src/receipts/store.js';
import { executionId, samplePredicate } from './sample.js';
import { openRaw, openStore, storeReceipt } from './store-support.js';

interface Run {
  readonly second: number;
  readonly status: ExecutionStatus;
  readonly backend: string;
  readonly code: string;
  readonly argument: string;
}

function changesOf({ second, status, backend, code, argument }: Run): Partial<Predicate> {
  const base = samplePredicate();
  const exitCode = status === 'ok' ? 0 : 1;
  const error = status === 'infra_error' ? { code: 'guest_lost', message: 'The guest is gone.' } : null;
  return {
    timestamp: `2025-01-02T03:04:0${second}.000Z`,
    finished_at: '2025-01-02T03:05:00.000Z',
    request: { ...base.request, code_sha256: code, argv: [argument] },
    outcome: { status, exit_code: exitCode, signal: null, error },
    execution: { ...base.execution, backend },
  };
}

const CODES = ['a'.repeat(64), 'b'.repeat(64)];
const ARGUMENTS = ['build/main.py', 'Über-Straße AND', '--name=build OR', 'naïve "x" *'];
const run = fc.record<Run>({
  second: fc.integer({ min: 0, max: 9 }),
  status: fc.constantFrom(...EXECUTION_STATUSES),
  backend: fc.constantFrom('qemu', 'process'),
  code: fc.constantFrom(...CODES),
  argument: fc.constantFrom(...ARGUMENTS),
});
const filter = fc.record<ReceiptFilter>({
  statuses: fc.option(fc.uniqueArray(fc.constantFrom(...EXECUTION_STATUSES), { minLength: 1, maxLength: 3 })),
  since: fc.option(fc.constantFrom('2025-01-02T03:04:02.000Z', '2025-01-02T03:04:05.500Z')),
  until: fc.option(fc.constantFrom('2025-01-02T03:04:07.000Z', '2025-01-02T03:04:09.001Z')),
  backend: fc.option(fc.constantFrom('qemu', 'process')),
  codeSha256: fc.option(fc.constantFrom(...CODES)),
  text: fc.option(fc.constantFrom('build', 'BUILD main', 'über', 'AND', 'name build', 'x', 'absent')),
});

/** The filter as one would write it down. */
function takes(filter: ReceiptFilter, one: Run): boolean {
  const time = changesOf(one).timestamp ?? '';
  const words =
    `${one.argument} ${one.status === 'infra_error' ? 'guest_lost The guest is gone.' : ''} in.txt out.txt link`
      .toLowerCase()
      .split(/[^\p{L}\p{N}]+/u);
  return (
    (filter.statuses?.includes(one.status) ?? true) &&
    (filter.since === null || time >= filter.since) &&
    (filter.until === null || time < filter.until) &&
    (filter.backend === null || filter.backend === one.backend) &&
    (filter.codeSha256 === null || filter.codeSha256 === one.code) &&
    (filter.text === null ||
      filter.text
        .toLowerCase()
        .split(' ')
        .every((word) => words.includes(word)))
  );
}

describe('ReceiptStore: filters', () => {
  it('take what they say, in the order of the list, page by page and as a stream', async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(run, { maxLength: 12 }),
        fc.array(filter, { minLength: 1 }),
        async (runs, filters) => {
          const { store } = openStore(t);
          for (const [index, one] of runs.entries()) await storeReceipt(store, index + 1, changesOf(one));
          for (const one of filters) {
            const expected = runs
              .map((made, index) => ({ made, id: executionId(index + 1) }))
              .filter(({ made }) => takes(one, made))
              .sort((a, b) => a.made.second - b.made.second) // and, as sort() is stable, in the order of storing
              .map(({ id }) => id);
            assert.deepEqual(
              Array.from(store.each(one), (receipt) => receipt.executionId),
              expected,
            );
            assert.deepEqual(inPages(store, one, 2), expected.toReversed());
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it('refuse a text without a word', (t) => {
    const { store } = openStore(t);
    for (const text of ['', ' ', '"*"', '::'])
      assert.throws(() => store.list({ limit: 1, before: null }, { ...ALL_RECEIPTS, text }), {
        code: 'invalid_request',
        field: 'text',
      });
  });

  it('take any text at all as words', (t) => {
    const { store } = openStore(t);
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (text) => {
        try {
          assert.deepEqual(store.list({ limit: 1, before: null }, { ...ALL_RECEIPTS, text }), []);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'invalid_request');
        }
      }),
    );
  });
});

describe('ReceiptStore: ids', () => {
  it('are found by their beginning', async (t) => {
    const { store } = openStore(t);
    const { receipt } = await storeReceipt(store, 1);
    await storeReceipt(store, 2);
    assert.deepEqual(store.idsBeginningWith(receipt.receiptId, 2), [receipt.receiptId]);
    assert.deepEqual(store.idsBeginningWith(receipt.receiptId.slice(0, 16), 2), [receipt.receiptId]);
    assert.deepEqual(store.idsBeginningWith('', 2), []);
    assert.deepEqual(store.idsBeginningWith('%', 2), []);
  });
});

describe('a store of an older version', () => {
  it('is indexed when it is opened', async (t) => {
    const { store, directory } = openStore(t);
    for (const number of [1, 2, 3])
      await storeReceipt(store, number, {}, { stdout: Buffer.from('4\n'), stderr: null, files: [] });
    const before = store.list({ limit: 9, before: null });
    store.close();
    olderVersion(t, directory);
    using again = ReceiptStore.open(directory);
    assert.deepEqual(again.list({ limit: 9, before: null }), before);
    assert.equal(again.list({ limit: 9, before: null }, { ...ALL_RECEIPTS, text: 'in txt' }).length, 3);
    assert.deepEqual(again.outputsToDrop({ olderThanMs: null, maxBytes: 2 }), { receipts: 2, bytes: 4 });
  });
});

/** Takes out of the file what the index brought. */
function olderVersion(t: TestContext, directory: string): void {
  const raw = openRaw(t, directory);
  const step = STORE_MIGRATIONS.findIndex((sql) => sql.includes('receipt_index'));
  raw.exec(
    'DROP TABLE receipt_index; DROP TABLE receipt_terms; CREATE INDEX receipts_by_time ON receipts (timestamp);',
  );
  raw.pragma(`user_version = ${step}`);
}

function inPages(store: ReceiptStore, filter: ReceiptFilter, limit: number): string[] {
  const all: string[] = [];
  for (let before: string | null = null; ;) {
    const page = store.list({ limit, before }, filter);
    all.push(...page.map((one) => one.executionId));
    if (page.length < limit) return all;
    before = page.at(-1)?.receiptId ?? null;
  }
}
