import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { sha256 } from '../../src/receipts/crypto.js';
import { parseEnvelope, preAuthenticationEncoding } from '../../src/receipts/dsse.js';
import { type JsonValue } from '../../src/receipts/json-value.js';
import { PAYLOAD_TYPE, type Predicate } from '../../src/receipts/receipt.js';
import { buildStatement, encodePayload, signStatement } from '../../src/receipts/statement.js';
import { samplePredicate, sampleReceipt, SIGNER, utf8, VERIFIER } from './sample.js';

const refused = { name: 'GlasshouseError', code: 'receipt_invalid' };

describe('buildStatement', () => {
  it('names stdout, stderr and each hashed file as subjects, in this order', () => {
    const statement = buildStatement(samplePredicate());
    assert.equal(statement._type, 'https://in-toto.io/Statement/v1');
    assert.equal(statement.predicateType, 'urn:glasshouse:execution-receipt:v1');
    assert.deepEqual(statement.subject, [
      { name: 'stdout', digest: { sha256: sha256(utf8('4\n')) } },
      { name: 'stderr', digest: { sha256: sha256(utf8('')) } },
      { name: 'workspace/out.txt', digest: { sha256: sha256(utf8('out')) } },
      { name: 'workspace/base64:/w==', digest: { sha256: sha256(utf8('')) } },
    ]);
  });

  it('has no subject for a stream that went to a terminal', () => {
    const { artifacts } = samplePredicate();
    const uncaptured = { ...artifacts, stdout_sha256: null, stdout_bytes: null, files: [] };
    const { subject } = buildStatement(samplePredicate({ artifacts: uncaptured }));
    assert.deepEqual(
      subject.map(({ name }) => name),
      ['stderr'],
    );
  });
});

describe('signStatement', () => {
  it('signs the PAE of the canonical statement and names the receipt by its sha256', async () => {
    const { statement, receipt } = await sampleReceipt();
    const payload = encodePayload(statement);
    assert.equal(receipt.receiptId, sha256(payload));
    assert.equal(receipt.keyId, SIGNER.keyId);
    const envelope = parseEnvelope(JSON.parse(Buffer.from(receipt.envelopeBytes).toString()) as JsonValue);
    assert.deepEqual(Buffer.from(envelope.payload), Buffer.from(payload));
    const [signature] = envelope.signatures;
    assert.ok(signature !== undefined);
    assert.equal(signature.keyid, SIGNER.keyId);
    assert.equal(
      await VERIFIER.verify(preAuthenticationEncoding(PAYLOAD_TYPE, payload), signature.sig),
      true,
    );
  });

  it('makes the same bytes from the same statement, whatever the order of its fields', async () => {
    const { receipt } = await sampleReceipt();
    const reversed = Object.fromEntries(Object.entries(samplePredicate()).reverse()) as unknown as Predicate;
    const again = await signStatement(buildStatement(reversed), SIGNER);
    assert.deepEqual(again, receipt);
  });

  it('refuses what no verifier would accept: a wrong field, a contradiction, other subjects', async () => {
    const sign = (overrides: Partial<Predicate>): Promise<unknown> =>
      signStatement(buildStatement(samplePredicate(overrides)), SIGNER);
    await assert.rejects(sign({ execution_id: 'x' }), { ...refused, message: /execution_id/ });
    await assert.rejects(sign({ finished_at: '2025-01-02T03:04:05.677Z' }), {
      ...refused,
      message: /finished/,
    });
    await assert.rejects(signStatement({ ...buildStatement(samplePredicate()), subject: [] }, SIGNER), {
      ...refused,
      message: /subjects/,
    });
  });

  it('freezes the statement, to its last part: the receipt stays over what it says', async () => {
    const { statement, receipt } = await sampleReceipt();
    assert.equal(receipt.isOver(statement), true);
    assert.equal(receipt.isOver(structuredClone(statement)), false);
    const edit = (target: object, name: string): void => {
      (target as Record<string, unknown>)[name] = 'edited';
    };
    const { predicate } = statement;
    for (const part of [
      statement,
      statement.subject,
      predicate,
      predicate.outcome,
      predicate.artifacts.files[0],
    ])
      assert.throws(() => {
        edit(part ?? {}, 'status');
      }, TypeError);
  });

  it('passes on that the signer failed', async () => {
    const broken = { keyId: SIGNER.keyId, sign: () => Promise.reject(new Error('no key today')) };
    await assert.rejects(signStatement(buildStatement(samplePredicate()), broken), /no key today/);
  });
});
