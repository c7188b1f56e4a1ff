import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { encodeBundle, parseReceiptFile } from '../../src/receipts/bundle.js';
import { canonicalBytes } from '../../src/receipts/canonical-json.js';
import { generatePrivateKeyPem } from '../../src/receipts/crypto.js';
import { type JsonObject } from '../../src/receipts/json-value.js';
import { KeySigner } from '../../src/receipts/signer.js';
import { sampleProof } from './sample-log.js';
import { sampleBundle, sampleReceipt, SIGNER, utf8 } from './sample.js';

const refused = { name: 'GlasshouseError', code: 'receipt_invalid' };

describe('bundle', () => {
  it('carries id, envelope and public key, as compact canonical JSON', async () => {
    const { receipt } = await sampleReceipt();
    const proof = sampleProof(receipt.envelopeBytes);
    const bytes = encodeBundle(receipt, SIGNER.publicKeyPem, proof);
    const json = JSON.parse(Buffer.from(bytes).toString()) as JsonObject;
    assert.deepEqual(Object.keys(json), ['envelope', 'log', 'media_type', 'public_key', 'receipt_id']);
    assert.deepEqual(Buffer.from(canonicalBytes(json)), Buffer.from(bytes));
    assert.deepEqual(
      Buffer.from(canonicalBytes(json['envelope'] ?? null)),
      Buffer.from(receipt.envelopeBytes),
    );

    const file = parseReceiptFile(bytes);
    assert.equal(file.claimedReceiptId, receipt.receiptId);
    assert.deepEqual(file.publicKeyHint, { keyId: SIGNER.keyId, pem: SIGNER.publicKeyPem });
    assert.ok(file.log !== null);
    assert.deepEqual(encodeBundle(receipt, SIGNER.publicKeyPem, file.log), bytes);
  });

  it('may be read with white space between its parts', async () => {
    const bytes = await sampleBundle();
    const pretty = utf8(`${JSON.stringify(JSON.parse(Buffer.from(bytes).toString()), null, 2)}\n`);
    assert.deepEqual(parseReceiptFile(pretty), parseReceiptFile(bytes));
  });

  it('may be a bare envelope, which names neither id nor key', async () => {
    const { receipt } = await sampleReceipt();
    const file = parseReceiptFile(receipt.envelopeBytes);
    assert.equal(file.claimedReceiptId, null);
    assert.equal(file.publicKeyHint, null);
    assert.equal(file.log, null);
    assert.equal(file.envelope.signatures[0]?.keyid, SIGNER.keyId);
  });

  it('is refused when a field is missing, unknown, or of another kind', async () => {
    const json = JSON.parse(Buffer.from(await sampleBundle()).toString()) as Record<string, JsonObject>;
    const key = json['public_key'] ?? {};
    const log = json['log'] ?? {};
    const entry = log['entry'] as JsonObject;
    const other = KeySigner.fromPem(generatePrivateKeyPem());
    const changes: JsonObject[] = [
      { media_type: 'application/json' },
      { media_type: 1 },
      { receipt_id: 'x' },
      { envelope: {} },
      { extra: 1 },
      { public_key: {} },
      { public_key: { ...key, algorithm: 'rsa' } },
      { public_key: { ...key, algorithm: 'ecdsa-p256' } },
      { log: {} },
      { log: { ...log, checkpoint: 1 } },
      { log: { ...log, inclusion_proof: ['AA=='] } },
      { log: { ...log, inclusion_proof: [`${'A'.repeat(42)}B=`] } },
      { log: { ...log, inclusion_proof: Array<string>(65).fill(`${'A'.repeat(43)}=`) } },
      { log: { ...log, extra: 1 } },
      { log: { ...log, entry: { ...entry, index: -1 } } },
      { log: { ...log, entry: { ...entry, time: '2025-01-02' } } },
      { public_key: { ...key, key_id: other.keyId } },
      { public_key: { ...key, spki_pem: other.publicKeyPem } },
      { public_key: { ...key, spki_pem: `${SIGNER.publicKeyPem}\n` } },
      { public_key: { key_id: other.keyId, algorithm: 'ed25519', spki_pem: other.publicKeyPem } },
    ];
    for (const change of changes) {
      assert.throws(
        () => parseReceiptFile(canonicalBytes({ ...json, ...change })),
        refused,
        JSON.stringify(change),
      );
    }
    for (const name of ['receipt_id', 'envelope', 'public_key', 'media_type', 'log']) {
      const rest = Object.fromEntries(Object.entries(json).filter(([field]) => field !== name));
      assert.throws(() => parseReceiptFile(canonicalBytes(rest)), refused, name);
    }
  });
});
