/** Shared by the tests of attacks: each must fail verification, and for the right reason. */
import assert from 'node:assert/strict';

import { type ErrorCode } from '../../src/base/errors.js';
import { encodeBundle } from '../../src/receipts/bundle.js';
import { verifyLog } from '../../src/receipts/verify-log.js';
import { type Check, verifyReceipt, type VerifyOptions } from '../../src/receipts/verify.js';
import { LOG_VERIFIER, type sampleProof } from './sample-log.js';
import { sampleReceipt, SIGNER, utf8, VERIFIER } from './sample.js';

export const trusted: VerifyOptions = { trustedKeys: [VERIFIER], logKeys: [LOG_VERIFIER] };
export const logTrust = { logKeys: [LOG_VERIFIER] };

export const codesOf = (checks: readonly Check[]): ErrorCode[] =>
  checks.flatMap(({ outcome, code }) => (outcome === 'failed' && code !== null ? [code] : []));

export async function assertRefused(
  bytes: Uint8Array,
  codes: readonly ErrorCode[],
  options: VerifyOptions = trusted,
): Promise<void> {
  const report = await verifyReceipt(bytes, options);
  assert.equal(report.valid, false);
  assert.deepEqual(codesOf(report.checks), codes);
}

export async function assertLogRefused(older: string, newer: string, code: ErrorCode): Promise<void> {
  const report = await verifyLog(utf8(older), utf8(newer), logTrust);
  assert.equal(report.valid, false);
  assert.deepEqual(codesOf(report.checks), [code]);
}

/** A bundle of the sample receipt with another place in the log. */
export async function withProof(proof: ReturnType<typeof sampleProof>): Promise<Uint8Array> {
  const { receipt } = await sampleReceipt();
  return encodeBundle(receipt, SIGNER.publicKeyPem, proof);
}
