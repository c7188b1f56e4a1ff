import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, mock, type TestContext } from 'node:test';

import Database from 'better-sqlite3';

import { encodeBundle } from '../../src/receipts/bundle.js';
import { parseCheckpoint, parseUpdate } from '../../src/receipts/checkpoint.js';
import { hashLeaf, provesConsistency } from '../../src/receipts/merkle.js';
import { encodeLogEntry } from '../../src/receipts/log-entry.js';
import { type FinishedExecution, ReceiptStore, type StoredOutputs } from '../../src/receipts/store.js';
import { auditLog } from '../../src/receipts/store-audit.js';
import { STORE_APPLICATION_ID, STORE_MIGRATIONS } from '../../src/receipts/store-schema.js';
import { NoteVerifier, type SignedNote } from '../../src/receipts/signed-note.js';
import { ReceiptWriter } from '../../src/receipts/store-writer.js';
import { verifyReceipt } from '../../src/receipts/verify.js';
import { LOG_SIGNER, LOG_VERIFIER, MemoryLog } from './sample-log.js';
import { executionId, sampleReceipt, SIGNER, utf8, VERIFIER } from './sample.js';
import { begun, disposable, MIB, NO_OUTPUTS, openRaw, openStore, storeReceipt } from './store-support.js';
import { temporaryDirectory } from './temporary-directory.js';

const trusted = { trustedKeys: [VERIFIER], logKeys: [LOG_VERIFIER] };

function headOf(note: string): ReturnType<typeof parseCheckpoint>['head'] {
  return parseCheckpoint(utf8(note)).head;
}

/** A begun execution, ready to be written. */
async function finished(store: ReceiptStore, number: number): Promise<FinishedExecution> {
  store.begin(begun(number));
  return { ...(await sampleReceipt({ execution_id: executionId(number) })), outputs: NO_OUTPUTS };
}

async function assertProven(store: ReceiptStore, receiptId: string): Promise<void> {
  const stored = store.get(receiptId);
  const proof = store.proofOf(receiptId);
  assert.ok(stored !== null && proof !== null);
  const bundle = encodeBundle({ receiptId, envelopeBytes: stored.envelope }, SIGNER.publicKeyPem, proof);
  const report = await verifyReceipt(bundle, trusted);
  assert.deepEqual(
    report.checks.filter(({ outcome }) => outcome === 'failed'),
    [],
  );
  assert.equal(report.valid, true);
}

describe('the stored log', () => {
  it('has every receipt under a signed head, whatever the size', async (t) => {
    const { store } = openStore(t);
    const ids: string[] = [];
    for (let number = 1; number <= 20; number += 1) {
      const { receipt } = await storeReceipt(store, number);
      ids.push(receipt.receiptId);
      assert.equal(headOf(store.log.latest()?.note ?? '').size, number);
    }
    for (const [index, id] of ids.entries()) {
      await assertProven(store, id);
      assert.equal(store.proofOf(id)?.entry.index, index);
    }
    assert.equal(store.proofOf('0'.repeat(64)), null);
    assert.equal((await auditLog(store, [LOG_VERIFIER])).valid, true);
  });

  it('is audited as it was when that began, also while receipts are appended', async (t) => {
    const { store } = openStore(t);
    for (let number = 1; number <= 3; number += 1) await storeReceipt(store, number);
    let number = 3;
    const verify = mock.method(LOG_VERIFIER, 'verify', async (note: SignedNote) => {
      if (number < 6) await storeReceipt(store, (number += 1));
      return NoteVerifier.prototype.verify.call(LOG_VERIFIER, note);
    });
    try {
      const { valid, size, checks } = await auditLog(store, [LOG_VERIFIER]);
      assert.deepEqual(
        checks.filter(({ outcome }) => outcome === 'failed'),
        [],
      );
      assert.ok(valid);
      assert.ok(size >= 3 && size < 6);
      assert.equal(store.log.latest()?.size, 6);
    } finally {
      verify.mock.restore();
    }
  });

  it('has the root that its entries have, and gives a proof of growth from every size', async (t) => {
    const { store } = openStore(t);
    const roots: Uint8Array[] = [new MemoryLog().root(0)];
    for (let number = 1; number <= 17; number += 1) {
      await storeReceipt(store, number);
      roots.push(headOf(store.log.latest()?.note ?? '').root);
    }
    const memory = new MemoryLog();
    for (const bytes of store.log.entries(0, 100))
      memory.addEntry(JSON.parse(Buffer.from(bytes).toString()) as MemoryLog['entries'][number]);
    for (const [oldSize, oldRoot] of roots.entries()) {
      assert.deepEqual(Buffer.from(memory.root(oldSize)), Buffer.from(oldRoot));
      const { checkpoint, since } = parseUpdate(utf8(store.log.updateSince(oldSize)));
      const { size: newSize, root: newRoot } = checkpoint.head;
      assert.equal(newSize, 17);
      assert.equal(since?.oldSize, oldSize);
      if (oldSize === 0) assert.deepEqual(since.proof, []);
      else assert.ok(provesConsistency({ oldSize, oldRoot, newSize, newRoot, proof: since.proof }));
    }
    assert.throws(() => store.log.updateSince(18), { code: 'log_truncated' });
    const first = memory.entries[0];
    assert.ok(first !== undefined);
    assert.deepEqual(Buffer.from(store.log.readHash(0, 0)), Buffer.from(hashLeaf(encodeLogEntry(first))));
  });

  it('never goes back in time: neither before the entry before, nor before the end of the run', async (t) => {
    const { store } = openStore(t);
    const timeOf = async (number: number, finished_at: string): Promise<string | undefined> => {
      const { receipt } = await storeReceipt(store, number, { finished_at });
      return store.proofOf(receipt.receiptId)?.entry.time;
    };
    mock.timers.enable({ apis: ['Date'], now: Date.parse('2026-05-05T00:00:00.000Z') });
    t.after(() => {
      mock.timers.reset();
    });
    assert.equal(await timeOf(1, '2026-05-04T00:00:00.000Z'), '2026-05-05T00:00:00.000Z');
    mock.timers.setTime(Date.parse('2026-05-01T00:00:00.000Z'));
    assert.equal(await timeOf(2, '2026-04-30T00:00:00.000Z'), '2026-05-05T00:00:00.000Z');
    assert.equal(await timeOf(3, '2026-05-06T00:00:00.000Z'), '2026-05-06T00:00:00.000Z');
  });
});

describe('ReceiptWriter', () => {
  it('puts what is ready at once under one head, and all of it is proven', async (t) => {
    const { store } = openStore(t);
    const writer = new ReceiptWriter(store, LOG_SIGNER);
    const batch = await Promise.all(Array.from({ length: 100 }, (_, index) => finished(store, index + 1)));
    await Promise.all(batch.map((one) => writer.write(one)));
    const heads = store.log.checkpointsAfter(0, 100).map(({ size }) => size);
    assert.deepEqual(heads, [64, 100]);
    for (const { receipt } of batch) await assertProven(store, receipt.receiptId);
  });

  it('refuses one receipt and keeps the others that came with it', async (t) => {
    const { store } = openStore(t);
    const writer = new ReceiptWriter(store, LOG_SIGNER);
    const [good, other] = [await finished(store, 1), await finished(store, 2)];
    const unbegun = { ...(await sampleReceipt({ execution_id: executionId(9) })), outputs: NO_OUTPUTS };
    const results = await Promise.allSettled([good, unbegun, good, other].map((one) => writer.write(one)));
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
    );
    for (const { receipt } of [good, other]) await assertProven(store, receipt.receiptId);
    assert.equal(store.log.latest()?.size, 2);
  });

  it('leaves no row of those that it refuses, whether they fail at once or half way, among those that it keeps', async (t) => {
    const { store, directory } = openStore(t);
    const writer = new ReceiptWriter(store, LOG_SIGNER);
    const streams = { stdout: utf8('out'), stderr: utf8('') };
    const withOutputs = async (
      number: number,
      outputs: Partial<StoredOutputs>,
    ): Promise<FinishedExecution> => ({
      ...(await finished(store, number)),
      outputs: { ...NO_OUTPUTS, ...streams, ...outputs },
    });
    const file = (text: string): StoredOutputs['files'] => [{ path: utf8('out.txt'), chunks: [utf8(text)] }];
    const [one, other] = [await withOutputs(1, {}), await withOutputs(2, {})];
    const batch: Record<string, FinishedExecution> = {
      'kept: small': one,
      'refused: a file that is another': await withOutputs(3, { files: file('xxx') }),
      'kept: a file': await withOutputs(4, { files: file('out') }),
      'refused: not begun': {
        ...(await sampleReceipt({ execution_id: executionId(9) })),
        outputs: one.outputs,
      },
      'refused: a second time': one,
      'refused: over another statement': { ...other, statement: one.statement },
      'kept: large': await withOutputs(5, { stdout: Buffer.alloc(3 * MIB) }),
      'kept: the last': other,
    };
    const results = await Promise.allSettled(Object.values(batch).map((each) => writer.write(each)));
    assert.deepEqual(
      results.map(({ status }) => (status === 'fulfilled' ? 'kept' : 'refused')),
      Object.keys(batch).map((name) => name.split(':')[0]),
    );
    assert.equal(store.log.latest()?.size, 4);
    const kept = Object.entries(batch).filter(([name]) => name.startsWith('kept'));
    for (const [, { receipt }] of kept) await assertProven(store, receipt.receiptId);
    assert.equal((await auditLog(store, [LOG_VERIFIER])).valid, true);
    const raw = openRaw(t, directory);
    const count = (table: string): unknown => raw.prepare(`SELECT count(*) FROM ${table}`).pluck().get();
    const rows = ['receipts', 'receipt_index', 'log_entries', 'streams', 'files', 'file_chunks'].map(count);
    assert.deepEqual(rows, [4, 4, 4, 8, 1, 1]);
    assert.deepEqual(raw.pragma('foreign_key_check'), []);
    assert.deepEqual(
      store.unfinished().map(({ executionId: id }) => id),
      [executionId(3)],
    );
  });

  it('stores nothing of a batch whose commit comes to nothing, and all of it the next time', async (t) => {
    const { store, directory } = openStore(t);
    const writer = new ReceiptWriter(store, LOG_SIGNER);
    const batch = await Promise.all([1, 2, 3].map((number) => finished(store, number)));
    const raw = openRaw(t, directory);
    raw.exec(`CREATE TRIGGER no_room BEFORE INSERT ON log_entries WHEN NEW.entry_index = 2
      BEGIN SELECT RAISE(ROLLBACK, 'no room'); END`);
    const attempts = await Promise.allSettled(batch.map((one) => writer.write(one)));
    assert.deepEqual(
      attempts.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
    assert.equal(store.list({ limit: 10, before: null }).length, 0);
    assert.equal(store.unfinished().length, 3);
    assert.equal(store.log.latest(), null);
    raw.exec('DROP TRIGGER no_room');
    await Promise.all(batch.map((one) => writer.write(one)));
    assert.equal(store.log.latest()?.size, 3);
    for (const { receipt } of batch) await assertProven(store, receipt.receiptId);
    assert.equal((await auditLog(store, [LOG_VERIFIER])).valid, true);
  });

  it('refuses all of a batch when the log cannot be continued, and stores none of it', async (t) => {
    const { store, directory } = openStore(t);
    await storeReceipt(store, 1);
    store.close();
    const raw = openRaw(t, directory);
    raw.exec('DROP TRIGGER log_hashes_are_not_updated');
    raw.exec(`UPDATE log_hashes SET hash = zeroblob(32) WHERE position = 0`);
    using again = ReceiptStore.open(directory);
    const writer = new ReceiptWriter(again, LOG_SIGNER);
    const batch = [await finished(again, 2), await finished(again, 3)];
    for (const result of await Promise.allSettled(batch.map((one) => writer.write(one)))) {
      assert.equal(result.status, 'rejected');
      assert.equal((result.reason as { code: string }).code, 'log_corrupt');
    }
    assert.equal(again.list({ limit: 10, before: null }).length, 1);
    assert.equal(again.unfinished().length, 2);
  });
});

describe('a store of the version before the log', () => {
  /** The same receipts as a store of version 1 has them. */
  async function olderStore(t: TestContext, count: number): Promise<string> {
    const { store, directory } = openStore(t);
    for (let number = 1; number <= count; number += 1) await storeReceipt(store, number);
    store.close();
    const older = temporaryDirectory(t);
    using raw = disposable(new Database(join(older, 'glasshouse.db')));
    const { database } = raw;
    database.exec(STORE_MIGRATIONS[0] ?? '');
    database.pragma(`application_id = ${STORE_APPLICATION_ID}`);
    database.pragma('user_version = 1');
    database.prepare('ATTACH ? AS newer').run(join(directory, 'glasshouse.db'));
    for (const table of ['executions', 'receipts'])
      database.exec(`INSERT INTO ${table} SELECT * FROM newer.${table}`);
    return older;
  }

  it('is read as it is, and gets its log with the first receipt that is written', async (t) => {
    using store = ReceiptStore.open(await olderStore(t, 70));
    assert.equal(store.list({ limit: 100, before: null }).length, 70);
    assert.equal(store.log.latest(), null);
    assert.equal(store.log.isComplete, false);
    const { receipt } = await storeReceipt(store, 71);
    assert.equal(store.log.latest()?.size, 71);
    await assertProven(store, receipt.receiptId);
    for (const { receiptId } of store.list({ limit: 100, before: null }))
      await assertProven(store, receiptId);
  });

  it('gets its log when it is asked for one', async (t) => {
    using store = ReceiptStore.open(await olderStore(t, 3));
    const writer = new ReceiptWriter(store, LOG_SIGNER);
    writer.logOlderReceipts();
    const first = store.log.latest();
    assert.equal(first?.size, 3);
    writer.logOlderReceipts();
    assert.deepEqual(store.log.latest(), first);
    assert.equal((await auditLog(store, [LOG_VERIFIER])).valid, true);
  });
});

describe('the tables of the log', () => {
  const refusals: Record<string, string> = {
    'an entry without a receipt': "INSERT INTO log_entries (entry_index, entry) VALUES (1, x'00')",
    'an entry in the place of another': "INSERT OR REPLACE INTO log_entries VALUES (0, x'00')",
    'a gap between entries': "INSERT INTO log_entries VALUES (7, x'00')",
    'an edited entry': "UPDATE log_entries SET entry = x'00'",
    'the end of an entry': 'DELETE FROM log_entries',
    'an edited hash': 'UPDATE log_hashes SET hash = zeroblob(32)',
    'a hash in the place of another': 'INSERT OR REPLACE INTO log_hashes VALUES (0, zeroblob(32))',
    'the end of a hash': 'DELETE FROM log_hashes',
    'a second head of one size': "INSERT INTO log_checkpoints VALUES (1, 'other')",
    'a head in the place of another': "INSERT OR REPLACE INTO log_checkpoints VALUES (1, 'other')",
    'a head of entries that are not there': "INSERT INTO log_checkpoints VALUES (2, 'other')",
    'an edited head': "UPDATE log_checkpoints SET note = ''",
    'the end of a head': 'DELETE FROM log_checkpoints',
  };
  for (const [name, sql] of Object.entries(refusals)) {
    it(`refuse ${name}`, async (t) => {
      const { store, directory } = openStore(t);
      await storeReceipt(store, 1);
      const raw = openRaw(t, directory);
      assert.throws(() => raw.exec(sql), /SqliteError|log|head|appended/);
      assert.equal((await auditLog(store, [LOG_VERIFIER])).valid, true);
    });
  }
});
