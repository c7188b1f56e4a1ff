import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { encodeBundle } from '../../src/receipts/bundle.js';
import { canonicalBytes } from '../../src/receipts/canonical-json.js';
import { generatePrivateKeyPem, sha256 } from '../../src/receipts/crypto.js';
import { envelopeToJson, preAuthenticationEncoding } from '../../src/receipts/dsse.js';
import { type JsonObject, type JsonValue } from '../../src/receipts/json-value.js';
import { PAYLOAD_TYPE } from '../../src/receipts/receipt.js';
import { KeySigner } from '../../src/receipts/signer.js';
import { buildStatement, encodePayload } from '../../src/receipts/statement.js';
import { KeyVerifier } from '../../src/receipts/verifier.js';
import {
  type CheckName,
  type VerificationReport,
  verifyReceipt,
  type VerifyOptions,
} from '../../src/receipts/verify.js';
import { LOG_VERIFIER, sampleProof } from './sample-log.js';
import {
  bundleOver,
  sampleBundle,
  samplePredicate,
  sampleReceipt,
  SIGNER,
  utf8,
  VERIFIER,
} from './sample.js';

const trusted = { trustedKeys: [VERIFIER], logKeys: [LOG_VERIFIER] };
const bundle = await sampleBundle();
const bundleText = Buffer.from(bundle).toString();
const statement = buildStatement(samplePredicate());
const other = KeySigner.fromPem(generatePrivateKeyPem());
const otherVerifier = KeyVerifier.fromPem(other.publicKeyPem);

const outcomeOf = (report: VerificationReport, name: CheckName): string | undefined =>
  report.checks.find((check) => check.name === name)?.outcome;
const failuresOf = (report: VerificationReport): string[] =>
  report.checks.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);

/** Asserts that exactly this check failed, for this reason, and nothing of the payload was handed on. */
async function assertFails(
  bytes: Uint8Array,
  name: CheckName,
  reason: RegExp,
  options: VerifyOptions = trusted,
): Promise<void> {
  const report = await verifyReceipt(bytes, options);
  assert.equal(report.valid, false);
  assert.deepEqual(failuresOf(report), [name]);
  const failure = report.checks.find((check) => check.name === name);
  assert.match(failure?.detail ?? '', reason);
  assert.match(failure?.detail ?? '', /^[\x20-\x7e]+$/);
}

describe('verifyReceipt: a receipt as it was made', () => {
  it('is valid, and the report says what was checked and what cannot be', async () => {
    const report = await verifyReceipt(bundle, trusted);
    assert.equal(report.valid, true);
    assert.equal(report.receiptId, sha256(encodePayload(statement)));
    assert.deepEqual(JSON.parse(JSON.stringify(report.statement)), JSON.parse(JSON.stringify(statement)));
    assert.deepEqual(
      report.checks.map(({ name, outcome }) => `${name} ${outcome}`),
      [
        'format passed',
        'receipt_id passed',
        'trusted_key passed',
        'signature passed',
        'canonical_payload passed',
        'statement_schema passed',
        'consistency passed',
        'log_entry passed',
        'log_time passed',
        'log_checkpoint passed',
        'log_inclusion passed',
        'output_bytes not_checked',
        'clock not_checked',
        'host_truthfulness not_checked',
        'completeness not_checked',
        'log_forks not_checked',
      ],
    );
  });

  it('is valid without a key of a log, whose word is then not taken for anything', async () => {
    const { valid, checks } = await verifyReceipt(bundle, { trustedKeys: [VERIFIER] });
    assert.equal(valid, true);
    const ofTheLog = checks.filter(({ name }) => name.startsWith('log_'));
    assert.deepEqual(
      ofTheLog.map(({ name, outcome }) => `${name} ${outcome}`),
      ['log_entry', 'log_time', 'log_checkpoint', 'log_inclusion', 'log_forks'].map(
        (name) => `${name} not_checked`,
      ),
    );
    assert.match(ofTheLog[0]?.detail ?? '', /no key of a log was given/);
  });

  it('is valid as a bare envelope, whose id is computed', async () => {
    const { receipt } = await sampleReceipt();
    const report = await verifyReceipt(receipt.envelopeBytes, trusted);
    assert.equal(report.valid, true);
    assert.equal(report.receiptId, receipt.receiptId);
    assert.equal(outcomeOf(report, 'receipt_id'), 'not_checked');
  });

  it('is valid with other trusted keys beside the right one', async () => {
    assert.equal((await verifyReceipt(bundle, { trustedKeys: [otherVerifier, VERIFIER] })).valid, true);
  });
});

describe('verifyReceipt: trust', () => {
  it('does not trust the key inside the bundle', async () => {
    for (const trustedKeys of [[], [otherVerifier]]) {
      await assertFails(
        bundle,
        'trusted_key',
        new RegExp(`no trusted key with id ${SIGNER.keyId}: give --key`),
        {
          trustedKeys,
        },
      );
    }
  });

  it('hands on nothing that no trusted key signed', async () => {
    const report = await verifyReceipt(bundle, { trustedKeys: [] });
    assert.equal(report.statement, null);
    assert.equal(outcomeOf(report, 'signature'), 'not_checked');
    assert.equal(outcomeOf(report, 'statement_schema'), 'not_checked');
  });

  it('fails when another key signed under the name of a trusted one', async () => {
    const payload = encodePayload(statement);
    const sig = await other.sign(preAuthenticationEncoding(PAYLOAD_TYPE, payload));
    const forged = { payloadType: PAYLOAD_TYPE, payload, signatures: [{ keyid: SIGNER.keyId, sig }] };
    await assertFails(canonicalBytes(envelopeToJson(forged)), 'signature', /does not hold/);
  });

  it('with several signatures needs one trusted, and all trusted ones to hold', async () => {
    const payload = encodePayload(statement);
    const message = preAuthenticationEncoding(PAYLOAD_TYPE, payload);
    const ours = { keyid: SIGNER.keyId, sig: await SIGNER.sign(message) };
    const theirs = { keyid: other.keyId, sig: await other.sign(message) };
    const broken = { keyid: other.keyId, sig: new Uint8Array(64) };
    const file = (...signatures: (typeof ours)[]): Uint8Array =>
      canonicalBytes(envelopeToJson({ payloadType: PAYLOAD_TYPE, payload, signatures }));
    const both = { trustedKeys: [VERIFIER, otherVerifier] };
    assert.equal((await verifyReceipt(file(ours, theirs), both)).valid, true);
    assert.equal((await verifyReceipt(file(broken, ours), trusted)).valid, true);
    await assertFails(file(broken, ours), 'signature', /does not hold/, both);
    await assertFails(file(theirs, broken), 'format', /two signatures of one key/);
  });

  it('escapes a hostile key id in its reason', async () => {
    const hostile = bundleText.replaceAll(SIGNER.keyId, '\\u001b[31mtrusted');
    const envelope = JSON.stringify((JSON.parse(hostile) as Record<string, JsonValue>)['envelope']);
    await assertFails(utf8(envelope), 'trusted_key', /"\\u001b\[31mtrusted"/);
  });
});

describe('verifyReceipt: attacks', () => {
  it('a swapped payload type', async () => {
    await assertFails(utf8(bundleText.replace(PAYLOAD_TYPE, 'text/plain')), 'format', /payload type/);
    const report = await verifyReceipt(await bundleOver(encodePayload(statement), 'text/plain'), trusted);
    assert.deepEqual(failuresOf(report), ['format']);
  });

  it('the envelope of another receipt under the id of this one', async () => {
    const { receipt } = await sampleReceipt({
      outcome: { status: 'error', exit_code: 1, signal: null, error: null },
    });
    const { receipt: original } = await sampleReceipt();
    const swapped = encodeBundle(
      { envelopeBytes: receipt.envelopeBytes, receiptId: original.receiptId },
      SIGNER.publicKeyPem,
      sampleProof(receipt.envelopeBytes),
    );
    await assertFails(swapped, 'receipt_id', new RegExp(receipt.receiptId));
  });

  it('an edited field', async () => {
    const edited = encodePayload({ ...statement, predicate: { ...statement.predicate, provenance: 'host' } });
    const forged = bundleText.replace(
      /"payload":"[^"]*"/,
      `"payload":"${Buffer.from(edited).toString('base64')}"`,
    );
    const report = await verifyReceipt(utf8(forged), trusted);
    assert.deepEqual(failuresOf(report), ['receipt_id', 'signature']);
    assert.equal(report.statement, null);
  });

  it('duplicate names in bundle and envelope', async () => {
    await assertFails(utf8(bundleText.replace('{', '{"receipt_id":"x",')), 'format', /appears twice/);
    await assertFails(
      utf8(bundleText.replace('{"payload"', '{"payload":"","payload"')),
      'format',
      /appears twice/,
    );
  });

  const canonical = Buffer.from(encodePayload(statement)).toString();
  const reordered = `{${canonical.slice(1, -1).replace(/^("_type":"[^"]*"),(.*)$/, '$2,$1')}}`;
  const signedNonsense: Record<string, [string, CheckName, RegExp]> = {
    'members in another order': [reordered, 'canonical_payload', /canonical form/],
    'white space': [canonical.replace(':', ': '), 'canonical_payload', /canonical form/],
    'a number written in another way': [
      canonical.replace('"queue_ms":0', '"queue_ms":-0'),
      'canonical_payload',
      /canonical form/,
    ],
    'a needless escape': [canonical.replace('"qemu"', '"\\u0071emu"'), 'canonical_payload', /canonical form/],
    'a duplicate name': [canonical.replace('{', '{"_type":"",'), 'canonical_payload', /appears twice/],
    'an integer beyond 2^53': [
      canonical.replace('"queue_ms":0', '"queue_ms":9007199254740994'),
      'canonical_payload',
      /beyond 2\^53/,
    ],
    'an integer that no double is': [
      canonical.replace('"queue_ms":0', '"queue_ms":9007199254740993'),
      'canonical_payload',
      /too precise/,
    ],
    'no JSON': ['not JSON', 'canonical_payload', /malformed/],
    nothing: ['', 'canonical_payload', /malformed/],
    'JSON that is no statement': ['{}', 'statement_schema', /is missing/],
    'an unknown field': [
      canonical.replace('"version":1', '"version":1,"x":0'),
      'statement_schema',
      /unknown field/,
    ],
    'another predicate type': [
      canonical.replace('receipt:v1', 'receipt:v2'),
      'statement_schema',
      /predicateType/,
    ],
    'a contradiction': [canonical.replace('"exit_code":0', '"exit_code":1'), 'consistency', /ok without/],
  };
  for (const [name, [payload, check, reason]] of Object.entries(signedNonsense)) {
    it(`signed by the right key, but with ${name}`, async () => {
      assert.notEqual(payload, canonical);
      await assertFails(await bundleOver(utf8(payload)), check, reason);
    });
  }

  it('the harness of these attacks makes valid receipts when it changes nothing', async () => {
    assert.equal((await verifyReceipt(await bundleOver(utf8(canonical)), trusted)).valid, true);
  });

  it('nesting as deep as the file is long', async () => {
    await assertFails(utf8('['.repeat(100_000)), 'format', /levels deep/);
  });
});

describe('verifyReceipt: given subjects', () => {
  const verifyWith = (...subjects: { name: string; sha256: string }[]): Promise<VerificationReport> =>
    verifyReceipt(bundle, { ...trusted, subjects });
  const stdout = { name: 'stdout', sha256: sha256(utf8('4\n')) };

  it('are compared with the receipt', async () => {
    const report = await verifyWith(stdout, { name: 'workspace/out.txt', sha256: sha256(utf8('out')) });
    assert.equal(report.valid, true);
    assert.equal(report.checks.filter(({ name }) => name === 'subject').length, 2);
    assert.equal(outcomeOf(report, 'output_bytes'), undefined);
  });

  it('that differ, or are not of this receipt, fail', async () => {
    for (const subject of [
      { name: 'stdout', sha256: sha256(utf8('5\n')) },
      { name: 'stdout ', sha256: stdout.sha256 },
      { name: '\u001b[2J', sha256: stdout.sha256 },
    ]) {
      const report = await verifyWith(stdout, subject);
      assert.equal(report.valid, false);
      assert.deepEqual(failuresOf(report), ['subject']);
    }
  });

  it('of a name that stands for two files fail', async () => {
    const file = { size_bytes: 0, mode: '0600', sha256: sha256(utf8('')), omitted: null };
    const files = [
      { ...file, path: { base64: '/w==' } },
      { ...file, path: 'base64:/w==' },
    ];
    const { receipt } = await sampleReceipt({ artifacts: { ...samplePredicate().artifacts, files } });
    const report = await verifyReceipt(receipt.envelopeBytes, {
      ...trusted,
      subjects: [{ name: 'workspace/base64:/w==', sha256: file.sha256 }],
    });
    assert.deepEqual(failuresOf(report), ['subject']);
  });
});

describe('verifyReceipt: damaged files', () => {
  const flips: Record<string, (byte: number) => number> = {
    'its lowest bit flipped': (byte) => byte ^ 0x01,
    'its case bit flipped': (byte) => byte ^ 0x20,
    'its highest bit flipped': (byte) => byte ^ 0x80,
    'a space in its place': () => 0x20,
    'a quote in its place': () => 0x22,
  };
  for (const [name, flip] of Object.entries(flips)) {
    // The encoding has one form: no white space between tokens, canonical base64, lower-case hexadecimal, a key in one
    // PEM form. So no change of one byte leaves the meaning as it was, and every single one must be refused; inside the
    // envelope also without handing on a statement, outside of it with none but the one that was signed.
    it(`no single byte may have ${name}`, async () => {
      const envelopeEnd = bundleText.indexOf('"log"');
      for (let index = 0; index < bundle.length; index += 1) {
        const damaged = Uint8Array.from(bundle);
        damaged[index] = flip(bundle[index] ?? 0);
        if (damaged[index] === bundle[index]) continue;
        const report = await verifyReceipt(damaged, trusted);
        assert.equal(report.valid, false, `byte ${index}`);
        if (index < envelopeEnd) assert.equal(report.statement, null, `byte ${index}`);
        if (report.statement !== null)
          assert.deepEqual(encodePayload(report.statement), encodePayload(statement));
      }
    });
  }

  it('every truncation is refused as malformed', async () => {
    for (let length = 0; length < bundle.length; length += 1) {
      const report = await verifyReceipt(bundle.subarray(0, length), trusted);
      assert.deepEqual(failuresOf(report), ['format'], `length ${length}`);
    }
  });

  it('random bytes are refused as malformed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        assert.deepEqual(failuresOf(await verifyReceipt(bytes, trusted)), ['format']);
      }),
    );
  });

  it('random JSON is refused as malformed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.json(), async (text) => {
        assert.deepEqual(failuresOf(await verifyReceipt(utf8(text), trusted)), ['format']);
      }),
    );
  });

  it('any statement that the right key signed is judged without a crash', async () => {
    const places = ['predicate', 'subject', '_type', 'outcome', 'artifacts', 'files', 'path', 'digest'];
    const json = JSON.parse(JSON.stringify(statement)) as JsonObject;
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), fc.constantFrom(...places), async (value, place) => {
        const text = JSON.stringify(json, (key, old: unknown) => (key === place ? value : old));
        let payload: Uint8Array;
        try {
          payload = canonicalBytes(JSON.parse(text) as JsonValue);
        } catch {
          payload = utf8(text); // an integer beyond 2^53: no canonical form, and no receipt
        }
        const report = await verifyReceipt(await bundleOver(payload), trusted);
        assert.equal(report.valid, report.statement !== null && failuresOf(report).length === 0);
      }),
    );
  });
});
