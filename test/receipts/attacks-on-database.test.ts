/** Attacks on the data directory: each must be noticed, and for the right reason. */
import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, mock, type TestContext } from 'node:test';

import { type ErrorCode } from '../../src/base/errors.js';
import { encodeBundle } from '../../src/receipts/bundle.js';
import { generatePrivateKeyPem } from '../../src/receipts/crypto.js';
import { NoteSigner, NoteVerifier } from '../../src/receipts/signed-note.js';
import { ReceiptStore } from '../../src/receipts/store.js';
import { ReceiptWriter } from '../../src/receipts/store-writer.js';
import { auditLog } from '../../src/receipts/store-audit.js';
import { verifyLog } from '../../src/receipts/verify-log.js';
import { assertLogRefused, assertRefused, codesOf, logTrust } from './attacks-support.js';
import { LOG_SIGNER, LOG_VERIFIER, LOGGED_AT } from './sample-log.js';
import { executionId, sampleReceipt, SIGNER, utf8 } from './sample.js';
import { begun, NO_OUTPUTS, openRaw, openStore, storeReceipt } from './store-support.js';
import { temporaryDirectory } from './temporary-directory.js';

describe('attacks on the database', () => {
  /** A store with five receipts, closed; what `edit` does to it is done behind its back. */
  async function editedStore(t: TestContext, edit: string): Promise<ReceiptStore> {
    const { store, directory } = openStore(t);
    for (let number = 1; number <= 5; number += 1) await storeReceipt(store, number);
    store.close();
    const raw = openRaw(t, directory);
    for (const { name } of raw
      .prepare<[], { name: string }>("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
      .all())
      raw.exec(`DROP TRIGGER ${name}`);
    raw.exec(edit);
    const again = ReceiptStore.open(directory);
    t.after(() => {
      again.close();
    });
    return again;
  }

  const edits: Record<string, [string, ErrorCode]> = {
    'an envelope': [
      "UPDATE receipts SET envelope = CAST(replace(CAST(envelope AS TEXT), 'eyJ', 'eyK') AS BLOB) WHERE sequence = 3",
      'log_corrupt',
    ],
    'two envelopes changed places': [
      `UPDATE receipts SET envelope = (SELECT envelope FROM receipts r WHERE r.sequence = 5 - receipts.sequence) WHERE sequence IN (2, 3)`,
      'log_corrupt',
    ],
    'an entry': [
      `UPDATE log_entries SET entry = CAST(replace(CAST(entry AS TEXT), '"index":2', '"index":7') AS BLOB) WHERE entry_index = 2`,
      'log_corrupt',
    ],
    'the time of an entry': [
      `UPDATE log_entries SET entry = CAST(replace(CAST(entry AS TEXT), 'time":"20', 'time":"19') AS BLOB) WHERE entry_index = 2`,
      'log_time_reversed',
    ],
    'a hash': ['UPDATE log_hashes SET hash = zeroblob(32) WHERE position = 2', 'log_corrupt'],
    'a signed head': [
      'UPDATE log_checkpoints SET note = (SELECT note FROM log_checkpoints WHERE size = 2) WHERE size = 3',
      'log_corrupt',
    ],
    'the size in a signed head': [
      "UPDATE log_checkpoints SET note = replace(note, char(10) || '4' || char(10), char(10) || '5' || char(10)) WHERE size = 4",
      'log_corrupt',
    ],
    'a receipt that is gone': [
      'PRAGMA foreign_keys = OFF; DELETE FROM receipts WHERE sequence = 5',
      'log_corrupt',
    ],
  };
  for (const [name, [edit, code]] of Object.entries(edits)) {
    it(`an edited row: ${name}`, async (t) => {
      const store = await editedStore(t, edit);
      const report = await auditLog(store, [LOG_VERIFIER]);
      assert.equal(report.valid, false);
      assert.deepEqual(codesOf(report.checks), [code]);
    });
  }

  it('an edited envelope is refused by whoever gets it, too', async (t) => {
    const store = await editedStore(t, edits['an envelope']?.[0] ?? '');
    const summary = store.list({ limit: 5, before: null })[2];
    assert.ok(summary !== undefined);
    const [stored, proof] = [store.get(summary.receiptId), store.proofOf(summary.receiptId)];
    assert.ok(stored !== null && proof !== null);
    const bundle = encodeBundle(
      { receiptId: stored.receiptId, envelopeBytes: stored.envelope },
      SIGNER.publicKeyPem,
      proof,
    );
    await assertRefused(bundle, ['receipt_id_mismatch', 'signature_invalid']);
  });

  it('edited hashes and entries: no proof is handed out, and the log is not continued', async (t) => {
    const store = await editedStore(t, 'UPDATE log_hashes SET hash = zeroblob(32)');
    for (const { receiptId } of store.list({ limit: 4, before: null }))
      assert.throws(() => store.proofOf(receiptId), { code: 'log_corrupt' });
    await assert.rejects(storeReceipt(store, 6), { code: 'log_corrupt' });
  });

  it('a database of an earlier day is refused by whoever has a later checkpoint', async (t) => {
    const { store, directory } = openStore(t);
    for (let number = 1; number <= 3; number += 1) await storeReceipt(store, number);
    store.close();
    const backup = temporaryDirectory(t);
    for (const name of readdirSync(directory)) copyFileSync(join(directory, name), join(backup, name));
    using later = ReceiptStore.open(directory);
    for (let number = 4; number <= 6; number += 1) await storeReceipt(later, number);
    const witnessed = later.log.latest()?.note ?? '';

    using restored = ReceiptStore.open(backup);
    await assertLogRefused(witnessed, restored.log.latest()?.note ?? '', 'log_truncated');
    for (let number = 7; number <= 9; number += 1) await storeReceipt(restored, number);
    await assertLogRefused(witnessed, restored.log.latest()?.note ?? '', 'log_forked');
    await storeReceipt(restored, 10);
    await assertLogRefused(witnessed, restored.log.updateSince(6), 'log_rewritten');
    assert.equal((await verifyLog(utf8(witnessed), utf8(later.log.updateSince(6)), logTrust)).valid, true);
  });

  /** A store with six receipts into which the database of after the third was put back. */
  async function restoredStore(t: TestContext): Promise<{ restored: ReceiptStore; directory: string }> {
    const { store, directory } = openStore(t);
    for (let number = 1; number <= 3; number += 1) await storeReceipt(store, number);
    store.close();
    const [database, backup] = [join(directory, 'glasshouse.db'), join(temporaryDirectory(t), 'backup')];
    copyFileSync(database, backup);
    const later = ReceiptStore.open(directory);
    for (let number = 4; number <= 6; number += 1) await storeReceipt(later, number);
    later.close();
    copyFileSync(backup, database);
    const restored = ReceiptStore.open(directory);
    t.after(() => {
      restored.close();
    });
    return { restored, directory };
  }

  it('a database of an earlier day that is put back is not continued, and the audit says so', async (t) => {
    const { restored } = await restoredStore(t);
    await assert.rejects(storeReceipt(restored, 7), { code: 'log_truncated' });
    assert.equal(restored.log.latest()?.size, 3);
    assert.throws(
      () => {
        new ReceiptWriter(restored, LOG_SIGNER).assertWorks();
      },
      { code: 'log_truncated', message: /move keys\/log-key\.pem/ },
    );
    const report = await auditLog(restored, [LOG_VERIFIER]);
    assert.equal(report.valid, false);
    assert.deepEqual(codesOf(report.checks), ['log_truncated']);
    for (const { receiptId } of restored.list({ limit: 3, before: null }))
      assert.ok(restored.proofOf(receiptId) !== null, 'what it has is proven all the same');
  });

  it('and not when it went on elsewhere to the same size or further', async (t) => {
    const { restored, directory } = await restoredStore(t);
    const memory = join(directory, 'log-head');
    const honest = readFileSync(memory);
    rmSync(memory);
    for (let number = 7; number <= 10; number += 1) {
      await storeReceipt(restored, number);
      const size = restored.log.latest()?.size ?? 0;
      if (size < 6) continue;
      using elsewhere = ReceiptStore.open(directory);
      writeFileSync(memory, honest);
      await assert.rejects(storeReceipt(elsewhere, number + 10), { code: 'log_rewritten' });
      const report = await auditLog(elsewhere, [LOG_VERIFIER]);
      assert.deepEqual(codesOf(report.checks), ['log_rewritten']);
    }
  });

  it('but under the key of a new log: its heads contradict none of the old one', async (t) => {
    const { restored } = await restoredStore(t);
    const fresh = new NoteSigner(generatePrivateKeyPem(), () => 'glasshouse-log/fresh');
    restored.begin(begun(7));
    const seventh = await sampleReceipt({ execution_id: executionId(7) });
    assert.deepEqual(restored.append([{ ...seventh, outputs: NO_OUTPUTS }], fresh), [null]);
    const keys = [LOG_VERIFIER, NoteVerifier.parse(fresh.vkey)];
    assert.equal((await auditLog(restored, keys)).valid, true);
  });

  it('a clock set back does not make the log go back', async (t) => {
    mock.timers.enable({ apis: ['Date'], now: Date.parse(LOGGED_AT) + 1_000 });
    t.after(() => {
      mock.timers.reset();
    });
    const { store } = openStore(t);
    await storeReceipt(store, 1);
    mock.timers.setTime(Date.parse('2001-01-01T00:00:00.000Z'));
    await storeReceipt(store, 2);
    assert.equal((await auditLog(store, [LOG_VERIFIER])).valid, true);
  });
});
