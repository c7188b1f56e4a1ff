import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { encodeBundle } from '../../src/receipts/bundle.js';
import { isJsonObject, type JsonValue } from '../../src/receipts/json-value.js';
import { verifyLog } from '../../src/receipts/verify-log.js';
import { verifyReceipt } from '../../src/receipts/verify.js';
import { Dice, mutate } from './mutations.js';
import { LOG_VERIFIER, MemoryLog, sampleProof } from './sample-log.js';
import { samplePredicate, sampleReceipt, SIGNER, utf8, VERIFIER } from './sample.js';

const MUTATIONS = 100_000;
const SEED = 20_250_102;
const trusted = { trustedKeys: [VERIFIER], logKeys: [LOG_VERIFIER] };

async function smallBundle(): Promise<Buffer> {
  const { receipt } = await sampleReceipt({ artifacts: { ...samplePredicate().artifacts, files: [] } });
  return Buffer.from(encodeBundle(receipt, SIGNER.publicKeyPem, sampleProof(receipt.envelopeBytes)));
}

/** What a reader of JSON would call the same file: white space between tokens has no meaning. */
function meaning(bytes: Uint8Array): string {
  const sorted = (value: JsonValue): unknown => {
    if (Array.isArray(value)) return (value as readonly JsonValue[]).map(sorted);
    if (!isJsonObject(value)) return value;
    return Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, member]) => [name, sorted(member)]);
  };
  return JSON.stringify(sorted(JSON.parse(Buffer.from(bytes).toString()) as JsonValue));
}

describe('a damaged bundle', () => {
  it('cut off anywhere is refused with a reason', async () => {
    const bundle = await smallBundle();
    for (let length = 0; length < bundle.length; length += 1) {
      const { valid, checks } = await verifyReceipt(bundle.subarray(0, length), trusted);
      assert.equal(valid, false);
      assert.deepEqual(
        checks.filter(({ outcome }) => outcome === 'failed').map(({ code }) => code),
        ['receipt_invalid'],
      );
    }
  });

  it(`is refused with a reason after each of ${MUTATIONS} random mutations`, async () => {
    const bundle = await smallBundle();
    const dice = new Dice(SEED);
    let refused = 0;
    for (let count = 0; count < MUTATIONS; count += 1) {
      const damaged = mutate(bundle, dice);
      const { valid, checks } = await verifyReceipt(damaged, trusted);
      if (valid) {
        // White space, or another order of members, says the same; nothing else is let pass.
        assert.equal(meaning(damaged), meaning(bundle), `mutation ${count}`);
        continue;
      }
      refused += 1;
      const reason = checks.find(({ outcome }) => outcome === 'failed');
      assert.ok(reason?.code !== null && reason?.code !== undefined, `mutation ${count}`);
      assert.match(reason.detail, /^[\x20-\x7e]+$/);
    }
    assert.ok(refused > 0.99 * MUTATIONS, `${refused} were refused`);
  });

  it('and a damaged checkpoint with its proof: every truncation, and 5,000 mutations', async () => {
    const log = new MemoryLog().fill(11);
    const [older, newer] = [utf8(log.checkpoint(4)), utf8(log.update(4))];
    const options = { logKeys: [LOG_VERIFIER] };
    for (let length = 0; length < newer.length; length += 1)
      assert.equal((await verifyLog(older, newer.subarray(0, length), options)).valid, false);
    const dice = new Dice(SEED);
    for (let count = 0; count < 5_000; count += 1) {
      const damaged = mutate(newer, dice);
      const { valid } = await verifyLog(older, damaged, options);
      // Another signature line is another signer's business; the head and the proof must be as they were.
      if (valid)
        assert.ok(Buffer.from(damaged).toString().startsWith(log.update(4).trimEnd().slice(0, -100)));
    }
  });
});
