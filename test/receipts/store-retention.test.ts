import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { sha256 } from '../../src/receipts/crypto.js';
import { type ReceiptStore } from '../../src/receipts/store.js';
import { openStore, storeReceipt, withFile } from './store-support.js';

const CONTENT = Buffer.from('what the program printed, again and again. '.repeat(300));
const PATH = Buffer.from('out.bin');

/** Three executions, a day after each other, with stdout and a file. */
async function fill(store: ReceiptStore): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const day of [1, 2, 3]) {
    const { receipt } = await storeReceipt(
      store,
      day,
      {
        ...withFile(PATH, { sizeBytes: CONTENT.length, sha256: sha256(CONTENT) }),
        timestamp: `2025-01-0${day}T00:00:00.000Z`,
        finished_at: '2025-01-04T00:00:00.000Z',
      },
      { stdout: CONTENT, stderr: null, files: [{ path: PATH, chunks: [CONTENT] }] },
    );
    ids.push(receipt.receiptId);
  }
  return ids;
}

const keeps = (store: ReceiptStore, id: string): boolean[] => [
  store.readStdout(id) !== null,
  store.fileEntry(id, PATH) !== null,
];

describe('ReceiptStore: retention', () => {
  it('drops the outputs of executions that are too old, and says when; receipts stay', async (t) => {
    const { store } = openStore(t);
    const [first = '', second = '', third = ''] = await fill(store);
    const policy = { olderThanMs: Date.parse('2025-01-02T00:00:00.001Z'), maxBytes: null };
    const expected = { receipts: 2, bytes: 4 * CONTENT.length };
    assert.deepEqual(store.outputsToDrop(policy), expected);
    assert.deepEqual(keeps(store, first), [true, true]);
    assert.deepEqual(await store.dropOutputs(policy), expected);
    for (const id of [first, second]) {
      assert.deepEqual(keeps(store, id), [false, false]);
      assert.match(store.get(id)?.outputsDroppedAt ?? '', /^\d{4}-.*Z$/);
    }
    assert.deepEqual(keeps(store, third), [true, true]);
    assert.equal(store.get(third)?.outputsDroppedAt, null);
    assert.deepEqual(await store.dropOutputs(policy), { receipts: 0, bytes: 0 });
  });

  it('keeps the newest outputs of so many bytes', async (t) => {
    const { store } = openStore(t);
    const [first = '', second = '', third = ''] = await fill(store);
    await store.dropOutputs({ olderThanMs: null, maxBytes: 4 * CONTENT.length });
    assert.deepEqual([keeps(store, first), keeps(store, second)].flat(), [false, false, true, true]);
    await store.dropOutputs({ olderThanMs: null, maxBytes: 2 * CONTENT.length - 1 });
    assert.deepEqual(keeps(store, third), [false, false]);
    assert.equal(store.list({ limit: 9, before: null }).length, 3);
  });

  it('leaves nothing of what was dropped in the files', async (t) => {
    const { store, directory } = openStore(t);
    await fill(store);
    const anywhere = (): boolean =>
      readdirSync(directory).some((name) =>
        readFileSync(join(directory, name)).includes('what the program printed'),
      );
    assert.ok(anywhere());
    await store.dropOutputs({ olderThanMs: null, maxBytes: 0 });
    assert.ok(!anywhere());
  });

  it('goes through any number of them', async (t) => {
    const { store } = openStore(t);
    for (let number = 1; number <= 250; number += 1)
      await storeReceipt(store, number, {}, { stdout: Buffer.from('4\n'), stderr: null, files: [] });
    assert.deepEqual(await store.dropOutputs({ olderThanMs: null, maxBytes: 20 }), {
      receipts: 240,
      bytes: 480,
    });
  });
});
