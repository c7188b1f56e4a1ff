/** The attacks that evidence has to withstand: each must fail verification, and for the right reason. */
import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, mock, type TestContext } from 'node:test';

import { type ErrorCode } from '../../src/base/errors.js';
import { encodeBundle, parseReceiptFile } from '../../src/receipts/bundle.js';
import { canonicalBytes } from '../../src/receipts/canonical-json.js';
import { generatePrivateKeyPem, sha256 } from '../../src/receipts/crypto.js';
import { envelopeToJson } from '../../src/receipts/dsse.js';
import { type JsonObject } from '../../src/receipts/json-value.js';
import { KeyRing } from '../../src/receipts/key-ring.js';
import { NoteSigner, NoteVerifier } from '../../src/receipts/signed-note.js';
import { KeySigner } from '../../src/receipts/signer.js';
import { buildStatement, encodePayload, signStatement } from '../../src/receipts/statement.js';
import { ReceiptStore } from '../../src/receipts/store.js';
import { ReceiptWriter } from '../../src/receipts/store-writer.js';
import { auditLog } from '../../src/receipts/store-audit.js';
import { verifyLog } from '../../src/receipts/verify-log.js';
import { KeyVerifier } from '../../src/receipts/verifier.js';
import { type Check, verifyReceipt, type VerifyOptions } from '../../src/receipts/verify.js';
import { LOG_SIGNER, LOG_VERIFIER, LOGGED_AT, MemoryLog, sampleProof } from './sample-log.js';
import {
  bundleOver,
  executionId,
  sampleBundle,
  samplePredicate,
  sampleReceipt,
  SIGNER,
  utf8,
  VERIFIER,
} from './sample.js';
import { begun, NO_OUTPUTS, openRaw, openStore, storeReceipt } from './store-support.js';
import { temporaryDirectory } from './temporary-directory.js';

const trusted: VerifyOptions = { trustedKeys: [VERIFIER], logKeys: [LOG_VERIFIER] };
const logTrust = { logKeys: [LOG_VERIFIER] };

const codesOf = (checks: readonly Check[]): ErrorCode[] =>
  checks.flatMap(({ outcome, code }) => (outcome === 'failed' && code !== null ? [code] : []));

async function assertRefused(
  bytes: Uint8Array,
  codes: readonly ErrorCode[],
  options: VerifyOptions = trusted,
): Promise<void> {
  const report = await verifyReceipt(bytes, options);
  assert.equal(report.valid, false);
  assert.deepEqual(codesOf(report.checks), codes);
}

async function assertLogRefused(older: string, newer: string, code: ErrorCode): Promise<void> {
  const report = await verifyLog(utf8(older), utf8(newer), logTrust);
  assert.equal(report.valid, false);
  assert.deepEqual(codesOf(report.checks), [code]);
}

/** A bundle of the sample receipt with another place in the log. */
async function withProof(proof: ReturnType<typeof sampleProof>): Promise<Uint8Array> {
  const { receipt } = await sampleReceipt();
  return encodeBundle(receipt, SIGNER.publicKeyPem, proof);
}

describe('attacks on the envelope', () => {
  it('any single flipped bit of any byte of the envelope', async () => {
    const { receipt } = await sampleReceipt({ artifacts: { ...samplePredicate().artifacts, files: [] } });
    const bundle = Buffer.from(
      encodeBundle(receipt, SIGNER.publicKeyPem, sampleProof(receipt.envelopeBytes)),
    );
    assert.equal((await verifyReceipt(bundle, trusted)).valid, true);
    const begin = bundle.indexOf('{"payload"');
    const end = bundle.indexOf(',"log"');
    assert.equal(end - begin, receipt.envelopeBytes.length);
    const allowed = new Set<ErrorCode>([
      'receipt_invalid',
      'duplicate_name',
      'payload_type_unknown',
      'receipt_id_mismatch',
      'key_untrusted',
      'signature_invalid',
    ]);
    const seen = new Set<ErrorCode>();
    for (let at = begin; at < end; at += 1) {
      const changed = Uint8Array.from(bundle);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      const report = await verifyReceipt(changed, trusted);
      assert.equal(report.valid, false, `byte ${at}`);
      assert.equal(report.statement, null, `byte ${at}`);
      for (const code of codesOf(report.checks)) {
        assert.ok(allowed.has(code), code);
        seen.add(code);
      }
    }
    for (const code of ['receipt_invalid', 'receipt_id_mismatch', 'signature_invalid'] as const)
      assert.ok(seen.has(code));
  });

  it('a swapped payload type, also one that the right key signed', async () => {
    const text = Buffer.from(await sampleBundle()).toString();
    await assertRefused(utf8(text.replace('vnd.in-toto+json', 'vnd.in-toto+jsox')), ['payload_type_unknown']);
    const { statement } = await sampleReceipt();
    await assertRefused(await bundleOver(encodePayload(statement), 'text/plain'), ['payload_type_unknown']);
  });

  it('duplicate JSON names, in the file and in what was signed', async () => {
    const text = Buffer.from(await sampleBundle()).toString();
    await assertRefused(utf8(text.replace('{"payload"', '{"payload":"","payload"')), ['duplicate_name']);
    const payload = Buffer.from(encodePayload((await sampleReceipt()).statement)).toString();
    await assertRefused(await bundleOver(utf8(payload.replace('{', '{"_type":"",'))), ['duplicate_name']);
  });

  it('a reordered or re-encoded payload, even signed by the right key', async () => {
    const payload = Buffer.from(encodePayload((await sampleReceipt()).statement)).toString();
    const reordered = `{${payload.slice(1, -1).replace(/^("_type":"[^"]*"),(.*)$/, '$2,$1')}}`;
    for (const other of [reordered, payload.replace(':', ': '), payload.replace('"qemu"', '"\\u0071emu"')]) {
      assert.notEqual(other, payload);
      await assertRefused(await bundleOver(utf8(other)), ['payload_not_canonical']);
    }
    const bundle = parseReceiptFile(await sampleBundle());
    const unsigned = { ...bundle.envelope, payload: utf8(reordered) };
    await assertRefused(canonicalBytes(envelopeToJson(unsigned)), ['signature_invalid']);
  });

  it('the wrong key, and a wrong key under the name of the right one', async () => {
    const other = KeySigner.fromPem(generatePrivateKeyPem());
    await assertRefused(await sampleBundle(), ['key_untrusted'], {
      ...trusted,
      trustedKeys: [KeyVerifier.fromPem(other.publicKeyPem)],
    });
    const forged = await signStatement(buildStatement(samplePredicate()), {
      keyId: SIGNER.keyId,
      sign: (bytes) => other.sign(bytes),
    });
    await assertRefused(forged.envelopeBytes, ['signature_invalid']);
  });

  it('a rotated key: old receipts verify with the old public key, and only with it', async (t) => {
    const ring = KeyRing.open(temporaryDirectory(t));
    const oldKey = KeyVerifier.fromPem(ring.publicKeyPem);
    const old = await signStatement(buildStatement(samplePredicate()), ring.signer);
    const oldBundle = encodeBundle(old, ring.publicKeyPem, sampleProof(old.envelopeBytes));
    ring.rotate();
    const newKey = KeyVerifier.fromPem(ring.publicKeyPem);
    assert.equal((await verifyReceipt(oldBundle, { ...trusted, trustedKeys: [oldKey] })).valid, true);
    await assertRefused(oldBundle, ['key_untrusted'], { ...trusted, trustedKeys: [newKey] });
    const young = await signStatement(buildStatement(samplePredicate()), ring.signer);
    await assertRefused(young.envelopeBytes, ['key_untrusted'], { ...trusted, trustedKeys: [oldKey] });
  });

  it('the receipt of another run, by its id, by the code that ran and by what it printed', async () => {
    const asked = await sampleReceipt();
    const other = await sampleReceipt({ execution_id: executionId(2) });
    const bundle = encodeBundle(other.receipt, SIGNER.publicKeyPem, sampleProof(other.receipt.envelopeBytes));
    assert.equal(
      (await verifyReceipt(bundle, { ...trusted, receiptId: other.receipt.receiptId })).valid,
      true,
    );
    await assertRefused(bundle, ['receipt_id_mismatch'], { ...trusted, receiptId: asked.receipt.receiptId });
    for (const name of ['code', 'stdout', 'workspace/out.txt'])
      await assertRefused(bundle, ['subject_mismatch'], {
        ...trusted,
        subjects: [{ name, sha256: sha256(utf8('mine')) }],
      });
    const code = { name: 'code', sha256: sha256(utf8('print(2+2)')) };
    assert.equal((await verifyReceipt(bundle, { ...trusted, subjects: [code] })).valid, true);
  });
});

describe('attacks on the place in the log', () => {
  it('the proof of another entry', async () => {
    const log = new MemoryLog().fill(2);
    const { receipt } = await sampleReceipt();
    const index = log.add(receipt.envelopeBytes);
    log.fill(2);
    const right = log.prove(index);
    assert.equal((await verifyReceipt(await withProof(right), trusted)).valid, true);
    await assertRefused(await withProof(log.prove(1)), ['log_entry_mismatch']);
    await assertRefused(await withProof({ ...right, proof: log.prove(1).proof }), ['log_inclusion_invalid']);
    const moved = { ...right.entry, index: 1 };
    await assertRefused(await withProof({ ...right, entry: moved }), ['log_inclusion_invalid']);
    await assertRefused(await withProof({ ...right, entry: { ...right.entry, index: 9 } }), [
      'log_inclusion_invalid',
    ]);
  });

  it('an entry that was never logged, under a head that was', async () => {
    const { receipt } = await sampleReceipt();
    const forger = new MemoryLog().fill(2);
    const claimed = forger.prove(forger.add(receipt.envelopeBytes));
    const honest = new MemoryLog().fill(3).checkpoint();
    await assertRefused(await withProof({ ...claimed, checkpoint: honest }), ['log_inclusion_invalid']);
  });

  it('a head signed by another log, under its own name and under that of the trusted one', async () => {
    const stranger = new NoteSigner(generatePrivateKeyPem(), () => 'glasshouse-log/stranger');
    const impostor = new NoteSigner(generatePrivateKeyPem(), () => LOG_SIGNER.name);
    for (const signer of [stranger, impostor]) {
      const log = new MemoryLog(signer);
      const { receipt } = await sampleReceipt();
      await assertRefused(await withProof(log.prove(log.add(receipt.envelopeBytes))), ['log_untrusted']);
    }
    const right = sampleProof((await sampleReceipt()).receipt.envelopeBytes);
    const edited = { ...right, checkpoint: right.checkpoint.replace('\n5\n', '\n6\n') };
    await assertRefused(await withProof(edited), ['signature_invalid']);
    await assertRefused(await withProof({ ...right, checkpoint: 'nothing' }), ['checkpoint_invalid']);
  });

  it('a clock that was set back: logged before it ended', async () => {
    const { receipt, statement } = await sampleReceipt();
    const log = new MemoryLog();
    const early = new Date(Date.parse(statement.predicate.finished_at) - 1).toISOString();
    await assertRefused(await withProof(log.prove(log.add(receipt.envelopeBytes, early))), [
      'log_time_reversed',
    ]);
  });

  it('a proof that was taken away, when a checkpoint demands one', async () => {
    const { receipt } = await sampleReceipt();
    const checkpoint = utf8(new MemoryLog().fill(9).checkpoint());
    await assertRefused(receipt.envelopeBytes, ['log_proof_missing'], { ...trusted, checkpoint });
  });
});

describe('attacks on the log', () => {
  it('a truncated log', async () => {
    const log = new MemoryLog().fill(10);
    await assertLogRefused(log.checkpoint(10), log.checkpoint(7), 'log_truncated');
  });

  it('a rolled-back database that went on in another way', async () => {
    const witnessed = new MemoryLog().fill(10).checkpoint();
    const other = new MemoryLog().fill(7).fill(8, 'after the roll-back');
    await assertLogRefused(witnessed, other.update(10), 'log_rewritten');
    await assertLogRefused(witnessed, other.checkpoint(), 'log_proof_missing');
    await assertLogRefused(witnessed, other.update(9), 'log_proof_missing');
  });

  it('a fork: two heads of one size', async () => {
    const one = new MemoryLog().fill(5).fill(3, 'one');
    const other = new MemoryLog().fill(5).fill(3, 'other');
    await assertLogRefused(one.checkpoint(), other.checkpoint(), 'log_forked');
    const { receipt } = await sampleReceipt();
    const mine = new MemoryLog().fill(5);
    const bundle = await withProof(mine.prove(mine.add(receipt.envelopeBytes)));
    const theirs = new MemoryLog().fill(6, 'theirs');
    await assertRefused(bundle, ['log_forked'], { ...trusted, checkpoint: utf8(theirs.checkpoint()) });
  });

  it('a head of another log in the place of the newer one', async () => {
    const other = new MemoryLog(new NoteSigner(generatePrivateKeyPem(), () => 'glasshouse-log/other')).fill(
      9,
    );
    const log = new MemoryLog().fill(5);
    await assertLogRefused(log.checkpoint(), other.update(5), 'log_untrusted');
  });

  it('with nothing changed is not refused: the harness of these attacks works', async () => {
    const log = new MemoryLog().fill(10);
    for (const size of [0, 1, 7, 10])
      assert.equal(
        (await verifyLog(utf8(log.checkpoint(size)), utf8(log.update(size)), logTrust)).valid,
        true,
      );
    const bundle = await sampleBundle();
    assert.equal((await verifyLog(bundle, bundle, logTrust)).valid, true);
  });
});

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

describe('the shape of the report', () => {
  it('has a code for each failed check and for no other', async () => {
    const json = JSON.parse(Buffer.from(await sampleBundle()).toString()) as JsonObject;
    for (const bytes of [await sampleBundle(), canonicalBytes({ ...json, receipt_id: '0'.repeat(64) })])
      for (const { outcome, code } of (await verifyReceipt(bytes, trusted)).checks)
        assert.equal(code !== null, outcome === 'failed');
  });
});
