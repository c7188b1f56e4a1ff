/** Attacks on a receipt by itself: each must fail verification, and for the right reason. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type ErrorCode } from '../../src/base/errors.js';
import { encodeBundle, parseReceiptFile } from '../../src/receipts/bundle.js';
import { canonicalBytes } from '../../src/receipts/canonical-json.js';
import { generatePrivateKeyPem, sha256 } from '../../src/receipts/crypto.js';
import { envelopeToJson } from '../../src/receipts/dsse.js';
import { type JsonObject } from '../../src/receipts/json-value.js';
import { KeyRing } from '../../src/receipts/key-ring.js';
import { KeySigner } from '../../src/receipts/signer.js';
import { buildStatement, encodePayload, signStatement } from '../../src/receipts/statement.js';
import { KeyVerifier } from '../../src/receipts/verifier.js';
import { verifyReceipt } from '../../src/receipts/verify.js';
import { assertRefused, codesOf, trusted } from './attacks-support.js';
import { sampleProof } from './sample-log.js';
import {
  bundleOver,
  executionId,
  sampleBundle,
  samplePredicate,
  sampleReceipt,
  SIGNER,
  utf8,
} from './sample.js';
import { temporaryDirectory } from './temporary-directory.js';

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

describe('the shape of the report', () => {
  it('has a code for each failed check and for no other', async () => {
    const json = JSON.parse(Buffer.from(await sampleBundle()).toString()) as JsonObject;
    for (const bytes of [await sampleBundle(), canonicalBytes({ ...json, receipt_id: '0'.repeat(64) })])
      for (const { outcome, code } of (await verifyReceipt(bytes, trusted)).checks)
        assert.equal(code !== null, outcome === 'failed');
  });
});
