import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ReceiptStore, type StoredOutputs } from '../../src/receipts/store.js';
import { executionId, sampleReceipt, utf8 } from './sample.js';
import { NO_OUTPUTS, failed, finish, MIB, openStore, openRaw, begun, storeReceipt } from './store-support.js';

describe('ReceiptStore: one execution', () => {
  it('is unfinished from begin to finish, and gives back what was begun', async (t) => {
    const { store } = openStore(t);
    store.begin(begun());
    assert.deepEqual(store.unfinished(), [begun()]);
    assert.equal(store.getByExecution(executionId()), null);
    const { statement, receipt } = await sampleReceipt();
    finish(store, receipt, statement, NO_OUTPUTS);
    assert.deepEqual(store.unfinished(), []);
  });

  it('is found by receipt and by execution, with the envelope byte for byte', async (t) => {
    const { store } = openStore(t);
    const { receipt } = await storeReceipt(store, 1);
    const stored = store.get(receipt.receiptId);
    assert.ok(stored !== null);
    assert.deepEqual(Buffer.from(stored.envelope), Buffer.from(receipt.envelopeBytes));
    const summary = {
      receiptId: receipt.receiptId,
      executionId: executionId(),
      keyId: receipt.keyId,
      timestamp: '2025-01-02T03:04:05.678Z',
      finishedAt: '2025-01-02T03:04:07.901Z',
      kind: 'python',
      status: 'ok',
      exitCode: 0,
      signal: null,
      backend: 'qemu',
      isolation: 'vm-tcg',
      outputsDroppedAt: null,
    };
    assert.deepEqual(stored, { ...summary, envelope: stored.envelope });
    assert.deepEqual(store.getByExecution(executionId()), stored);
    assert.deepEqual(store.list({ limit: 1, before: null }), [summary]);
    assert.equal(store.get('0'.repeat(64)), null);
    assert.equal(store.getByExecution(executionId(2)), null);
  });

  it('keeps streams, and tells empty ones from those that were not captured', async (t) => {
    const { store } = openStore(t);
    const stdout = Uint8Array.of(0, 0xff, 0x0a);
    const { receipt } = await storeReceipt(store, 1, {}, { stdout, stderr: new Uint8Array(), files: [] });
    assert.deepEqual(Buffer.from(store.readStdout(receipt.receiptId) ?? []), Buffer.from(stdout));
    assert.equal(store.readStderr(receipt.receiptId)?.length, 0);
    const { receipt: silent } = await storeReceipt(store, 2);
    assert.equal(store.readStdout(silent.receiptId), null);
    assert.equal(store.readStderr('0'.repeat(64)), null);
  });

  it('survives closing and opening', async (t) => {
    const { store, directory } = openStore(t);
    const { receipt } = await storeReceipt(store, 1);
    store.begin(begun(2));
    store.close();
    using again = ReceiptStore.open(directory);
    assert.equal(again.get(receipt.receiptId)?.executionId, executionId(1));
    assert.deepEqual(again.unfinished(), [begun(2)]);
  });

  it('cannot be begun twice, finished twice, or finished without a beginning', async (t) => {
    const { store } = openStore(t);
    const { statement, receipt } = await storeReceipt(store, 1);
    assert.throws(
      () => {
        store.begin(begun(1));
      },
      { ...failed, message: /already begun/ },
    );
    assert.throws(
      () => {
        finish(store, receipt, statement, NO_OUTPUTS);
      },
      { ...failed, message: /already has/ },
    );
    const other = await sampleReceipt({ finished_at: '2025-01-02T03:04:08.000Z' });
    assert.throws(() => {
      finish(store, other.receipt, other.statement, NO_OUTPUTS);
    }, failed);
    const unbegun = await sampleReceipt({ execution_id: executionId(9) });
    assert.throws(() => {
      finish(store, unbegun.receipt, unbegun.statement, NO_OUTPUTS);
    }, failed);
    assert.equal(store.list({ limit: 10, before: null }).length, 1);
  });

  it('cannot be finished with a receipt that was signed over another statement', async (t) => {
    const { store } = openStore(t);
    store.begin(begun());
    const { statement } = await sampleReceipt();
    const { receipt } = await sampleReceipt({ provenance: 'guest' });
    assert.throws(
      () => {
        finish(store, receipt, statement, NO_OUTPUTS);
      },
      { ...failed, message: /another/ },
    );
    assert.equal(store.unfinished().length, 1);
  });
});

describe('ReceiptStore: all or nothing', () => {
  const out = utf8('out.txt');
  const outputs: Record<string, () => StoredOutputs> = {
    'whose bytes cannot be read to the end': () => ({
      stdout: utf8('4\n'),
      stderr: null,
      files: [
        {
          path: out,
          chunks: (function* () {
            yield Buffer.alloc(MIB);
            throw new Error('the disk is gone');
          })(),
        },
      ],
    }),
    'that differ from the receipt': () => ({
      stdout: utf8('4\n'),
      stderr: null,
      files: [{ path: out, chunks: [utf8('xxx')] }],
    }),
    'that are longer than in the receipt': () => ({
      ...NO_OUTPUTS,
      files: [{ path: out, chunks: [utf8('outs')] }],
    }),
    'that the receipt does not list': () => ({
      ...NO_OUTPUTS,
      files: [
        { path: out, chunks: [utf8('out')] },
        { path: utf8('\u001b[2J'), chunks: [] },
      ],
    }),
    'that the receipt lists as omitted': () => ({
      ...NO_OUTPUTS,
      files: [{ path: utf8('link'), chunks: [] }],
    }),
    'that come twice': () => ({
      ...NO_OUTPUTS,
      files: [
        { path: out, chunks: [utf8('out')] },
        { path: out, chunks: [utf8('out')] },
      ],
    }),
  };
  for (const [name, make] of Object.entries(outputs)) {
    it(`files ${name} leave no receipt and no row behind`, async (t) => {
      const { store, directory } = openStore(t);
      store.begin(begun());
      const { statement, receipt } = await sampleReceipt();
      assert.throws(
        () => {
          finish(store, receipt, statement, make());
        },
        (thrown: Error) =>
          /^[\x20-\x7e]+$/.test(thrown.message) && (thrown as { code?: string }).code === 'store_failed',
      );
      const raw = openRaw(t, directory);
      for (const table of ['receipts', 'streams', 'files', 'file_chunks']) {
        assert.equal(raw.prepare(`SELECT count(*) FROM ${table}`).pluck().get(), 0, table);
      }
      assert.equal(store.unfinished().length, 1);
      finish(store, receipt, statement, NO_OUTPUTS);
      assert.equal(store.list({ limit: 10, before: null }).length, 1);
    });
  }
});

describe('ReceiptStore: what raw SQL cannot do', () => {
  const receiptColumns =
    'receipt_id, execution_id, key_id, timestamp, finished_at, kind, status, backend, isolation, envelope';
  const receiptValues = (receiptId: string, execution: string): string =>
    `${receiptId}, ${execution}, 'k', 't', 't', 'python', 'ok', 'b', 'none', x'00'`;
  const refusals: readonly string[] = [
    "UPDATE receipts SET status = 'error'",
    'UPDATE receipts SET sequence = sequence + 1',
    "UPDATE OR REPLACE receipts SET receipt_id = 'x'",
    'DELETE FROM receipts',
    `INSERT OR REPLACE INTO receipts (${receiptColumns}) SELECT ${receiptValues("'other'", 'execution_id')} FROM receipts`,
    `REPLACE INTO receipts (${receiptColumns}) SELECT ${receiptValues('receipt_id', "'other'")} FROM receipts`,
    `INSERT OR REPLACE INTO receipts (sequence, ${receiptColumns})
       SELECT sequence, ${receiptValues("'other'", "'other'")} FROM receipts`,
    `INSERT INTO receipts (${receiptColumns}) SELECT ${receiptValues('receipt_id', 'execution_id')} FROM receipts
       WHERE true ON CONFLICT DO UPDATE SET status = 'error'`,
    "UPDATE executions SET request = '{}'",
    'DELETE FROM executions',
    'INSERT OR REPLACE INTO executions SELECT execution_id, started_at, 1, 1, owner_boot_id, request, execution FROM executions',
    'DELETE FROM unfinished',
    "UPDATE unfinished SET execution_id = 'x'",
  ];
  for (const sql of refusals) {
    it(sql.replace(/\s+/g, ' ').slice(0, 90), async (t) => {
      const { store, directory } = openStore(t);
      const { receipt } = await storeReceipt(store, 1);
      store.begin(begun(2));
      const before = store.get(receipt.receiptId);
      const raw = openRaw(t, directory);
      assert.throws(() => raw.exec(sql), { code: 'SQLITE_CONSTRAINT_TRIGGER' });
      assert.deepEqual(store.get(receipt.receiptId), before);
      assert.deepEqual(store.unfinished(), [begun(2)]);
    });
  }
});
