import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Predicate } from '../../src/receipts/receipt.js';
import { type ReceiptStore } from '../../src/receipts/store.js';
import { executionId } from './sample.js';
import { openStore, openRaw, storeReceipt } from './store-support.js';

describe('ReceiptStore: list', () => {
  const at = (second: number): Partial<Predicate> => ({
    timestamp: `2025-01-02T03:04:0${second}.000Z`,
    finished_at: '2025-01-02T03:05:00.000Z',
  });

  function pages(store: ReceiptStore, limit: number): string[][] {
    const all: string[][] = [];
    for (let before: string | null = null; ;) {
      const page = store.list({ limit, before });
      if (page.length === 0) return all;
      all.push(page.map(({ executionId: id }) => id));
      before = page.at(-1)?.receiptId ?? null;
    }
  }

  it('gives every receipt once, newest first, also when many began in the same millisecond', async (t) => {
    const { store } = openStore(t);
    const seconds = [3, 1, 2, 2, 2, 2, 2, 1, 3, 2];
    for (const [index, second] of seconds.entries()) await storeReceipt(store, index + 1, at(second));
    const expected = [9, 1, 10, 7, 6, 5, 4, 3, 8, 2].map(executionId);
    for (const limit of [1, 2, 3, 10, 1_000]) {
      assert.deepEqual(pages(store, limit).flat(), expected, `pages of ${limit}`);
    }
    assert.deepEqual(
      pages(store, 4).map((page) => page.length),
      [4, 4, 2],
    );
  });

  it('is not shifted by receipts that arrive between pages', async (t) => {
    const { store } = openStore(t);
    for (const number of [1, 2, 3]) await storeReceipt(store, number, at(1));
    const [first] = store.list({ limit: 1, before: null });
    assert.equal(first?.executionId, executionId(3));
    await storeReceipt(store, 4, at(1));
    await storeReceipt(store, 5, at(2));
    const rest = store.list({ limit: 10, before: first.receiptId });
    assert.deepEqual(
      rest.map(({ executionId: id }) => id),
      [2, 1].map(executionId),
    );
  });

  it('walks an index, however many receipts there are, and sorts nothing', async (t) => {
    const { store, directory } = openStore(t);
    await storeReceipt(store, 1);
    const raw = openRaw(t, directory);
    const planOf = (from: string, order: string): string =>
      raw
        .prepare<[], { detail: string }>(
          `EXPLAIN QUERY PLAN SELECT receipts.status FROM ${from} ORDER BY ${order} DESC LIMIT 10`,
        )
        .all()
        .map(({ detail }) => detail)
        .join('; ');
    const receipts = 'CROSS JOIN receipts ON receipts.sequence = receipt_index.receipt';
    assert.equal(
      planOf(`receipt_index ${receipts} WHERE position >= 1 AND position < 9`, 'position'),
      'SEARCH receipt_index USING INTEGER PRIMARY KEY (rowid>? AND rowid<?); SEARCH receipts USING INTEGER PRIMARY KEY (rowid=?)',
    );
    const terms = `receipt_terms CROSS JOIN receipt_index ON receipt_index.position = receipt_terms.rowid ${receipts}
      WHERE receipt_terms MATCH 'status : "ok"' AND receipt_terms.rowid < 9`;
    assert.doesNotMatch(planOf(terms, 'receipt_terms.rowid'), /TEMP B-TREE|SCAN receipt(s|_index)/);
  });

  it('refuses an unknown cursor and limits out of range', (t) => {
    const { store } = openStore(t);
    assert.throws(() => store.list({ limit: 1, before: '0'.repeat(64) }), { code: 'not_found' });
    for (const limit of [0, -1, 1.5, 1_001, NaN]) {
      assert.throws(() => store.list({ limit, before: null }), { code: 'invalid_request', field: 'limit' });
    }
    assert.deepEqual(store.list({ limit: 1, before: null }), []);
  });
});
