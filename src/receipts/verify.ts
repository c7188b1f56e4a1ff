import { GlasshouseError } from '../base/errors.js';
import { parseReceiptFile, RECEIPT_BOUNDS, type ReceiptFile } from './bundle.js';
import { canonicalBytes } from './canonical-json.js';
import { findInconsistency } from './consistency.js';
import { sha256 } from './crypto.js';
import { type Envelope, preAuthenticationEncoding } from './dsse.js';
import { type JsonValue } from './json-value.js';
import { PAYLOAD_TYPE, type Statement } from './receipt.js';
import { assertSchema } from './schema.js';
import { STATEMENT_SCHEMA } from './statement-schema.js';
import { parseStrictJson } from './strict-json.js';
import { quote } from './text.js';
import { type Verifier } from './verifier.js';

/** The checks that a valid receipt passes, in the order in which they are made. */
export const REQUIRED_CHECKS = [
  'format',
  'trusted_key',
  'signature',
  'canonical_payload',
  'statement_schema',
  'consistency',
] as const;

export type CheckName =
  | (typeof REQUIRED_CHECKS)[number]
  | 'receipt_id'
  | 'subject'
  | 'output_bytes'
  | 'clock'
  | 'host_truthfulness'
  | 'completeness';

export interface Check {
  readonly name: CheckName;
  readonly outcome: 'passed' | 'failed' | 'not_checked';
  /** For people: what was compared, or why not. Printable ASCII. */
  readonly detail: string;
}

export interface VerificationReport {
  /** All required checks passed and no check failed. */
  readonly valid: boolean;
  /** sha256 of the payload that the file contains; null when it contains none. */
  readonly receiptId: string | null;
  /** Null unless a trusted key signed it and its shape is right: unsigned text is never handed on. */
  readonly statement: Statement | null;
  readonly checks: readonly Check[];
}

/** Bytes at hand that a receipt should speak of, for example `stdout` or `workspace/out.txt`. */
export interface GivenSubject {
  readonly name: string;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
}

export interface VerifyOptions {
  readonly trustedKeys: readonly Verifier[];
  readonly subjects?: readonly GivenSubject[];
}

/**
 * Verifies a receipt file (a bundle or a bare DSSE envelope), offline. Resolves to a report for any bytes at all;
 * nothing inside the file makes it reject. A public key inside the file is never trusted by itself.
 */
export async function verifyReceipt(bytes: Uint8Array, options: VerifyOptions): Promise<VerificationReport> {
  const verification = new Verification();
  const subjects = options.subjects ?? [];
  await verification.run(bytes, options.trustedKeys, subjects);
  return verification.report(subjects);
}

class Verification {
  readonly #checks: Check[] = [];
  #receiptId: string | null = null;
  #statement: Statement | null = null;

  async run(
    bytes: Uint8Array,
    trustedKeys: readonly Verifier[],
    subjects: readonly GivenSubject[],
  ): Promise<void> {
    const file = this.#attempt('format', 'the file is well-formed', () => parseKnownFile(bytes));
    if (file === null) return;
    const { envelope } = file;
    this.#receiptId = sha256(envelope.payload);
    this.#checkReceiptId(file.claimedReceiptId, this.#receiptId);
    // As DSSE demands: nothing inside the payload is looked at before a trusted key has vouched for it.
    if (!(await this.#checkSignatures(envelope, trustedKeys))) return;
    const json = this.#attempt('canonical_payload', 'the payload is the RFC 8785 form of itself', () =>
      parseCanonical(envelope.payload),
    );
    if (json === null) return;
    this.#statement = this.#attempt('statement_schema', 'every field is known, typed and within bounds', () =>
      assertSchema(STATEMENT_SCHEMA, json, 'statement'),
    );
    if (this.#statement === null) return;
    const contradiction = findInconsistency(this.#statement);
    this.#record('consistency', contradiction === null, contradiction ?? 'no field contradicts another');
    for (const subject of subjects) this.#checkSubject(this.#statement, subject);
  }

  report(subjects: readonly GivenSubject[]): VerificationReport {
    const passed = new Set(
      this.#checks.filter(({ outcome }) => outcome === 'passed').map(({ name }) => name),
    );
    const failed = this.#checks.some(({ outcome }) => outcome === 'failed');
    const valid = !failed && REQUIRED_CHECKS.every((name) => passed.has(name));
    const reached = new Set(this.#checks.map(({ name }) => name));
    const unreached = REQUIRED_CHECKS.filter((name) => !reached.has(name));
    return {
      valid,
      receiptId: this.#receiptId,
      statement: this.#statement,
      checks: [
        ...this.#checks,
        ...unreached.map((name) => notChecked(name, 'not reached: an earlier check failed')),
        ...(subjects.length === 0 ? [OUTPUT_BYTES_NOT_GIVEN] : []),
        ...BEYOND_VERIFICATION,
      ],
    };
  }

  #checkReceiptId(claimed: string | null, actual: string): void {
    if (claimed === null) {
      this.#checks.push(notChecked('receipt_id', `a bare envelope names none; the payload's is ${actual}`));
    } else {
      const same = claimed === actual;
      this.#record(
        'receipt_id',
        same,
        same ? 'it is the sha256 of the payload' : `the payload's is ${actual}`,
      );
    }
  }

  /** Every signature by a trusted key must hold, and there must be one. */
  async #checkSignatures(envelope: Envelope, trustedKeys: readonly Verifier[]): Promise<boolean> {
    const pairs = envelope.signatures.flatMap(({ keyid, sig }) =>
      trustedKeys.filter(({ keyId }) => keyId === keyid).map((verifier) => ({ verifier, sig })),
    );
    if (pairs.length === 0) {
      const ids = envelope.signatures.map(({ keyid }) => printable(keyid)).join(', ');
      this.#record('trusted_key', false, `no trusted key with id ${ids}: give --key`);
      return false;
    }
    const ids = pairs.map(({ verifier }) => verifier.keyId).join(', ');
    this.#record('trusted_key', true, `a trusted key has the id ${ids}`);
    const message = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
    const held = await Promise.all(pairs.map(({ verifier, sig }) => verifier.verify(message, sig)));
    const valid = held.every(Boolean);
    this.#record(
      'signature',
      valid,
      valid ? 'the payload is what that key signed' : 'the signature does not hold',
    );
    return valid;
  }

  #checkSubject(statement: Statement, given: GivenSubject): void {
    const candidates = statement.subject.filter(({ name }) => name === given.name);
    const [candidate] = candidates;
    const matches = candidates.length === 1 && candidate?.digest.sha256 === given.sha256;
    const problem =
      candidates.length === 1
        ? 'differs from the receipt'
        : `is the name of ${candidates.length} subjects of the receipt`;
    this.#record('subject', matches, `${quote(given.name)} ${matches ? 'is as in the receipt' : problem}`);
  }

  /** Runs one step; a GlasshouseError is its failure, anything else a defect. */
  #attempt<T>(name: CheckName, success: string, step: () => T): T | null {
    try {
      const result = step();
      this.#record(name, true, success);
      return result;
    } catch (thrown) {
      if (!(thrown instanceof GlasshouseError)) throw thrown;
      this.#record(name, false, thrown.message);
      return null;
    }
  }

  #record(name: CheckName, passed: boolean, detail: string): void {
    this.#checks.push({ name, outcome: passed ? 'passed' : 'failed', detail });
  }
}

const OUTPUT_BYTES_NOT_GIVEN = notChecked(
  'output_bytes',
  'stdout, stderr and files were not given, so they were not compared with the receipt',
);

/** What no signature can tell. */
const BEYOND_VERIFICATION: readonly Check[] = [
  notChecked('clock', 'whether the clock of the signing host was right'),
  notChecked('host_truthfulness', 'whether the signing host reported what really happened'),
  notChecked('completeness', 'whether other receipts exist and were withheld'),
];

function notChecked(name: CheckName, detail: string): Check {
  return { name, outcome: 'not_checked', detail };
}

function parseKnownFile(bytes: Uint8Array): ReceiptFile {
  const file = parseReceiptFile(bytes);
  if (file.envelope.payloadType !== PAYLOAD_TYPE) {
    throw new GlasshouseError(
      'receipt_invalid',
      `The payload type is ${quote(file.envelope.payloadType)}, not "${PAYLOAD_TYPE}".`,
    );
  }
  return file;
}

/** The payload as JSON, if it is byte for byte what canonicalisation makes of it. */
function parseCanonical(payload: Uint8Array): JsonValue {
  const json = parseStrictJson(payload, RECEIPT_BOUNDS);
  const canonical = canonicalBytes(json);
  const same =
    canonical.length === payload.length && canonical.every((byte, index) => payload[index] === byte);
  if (!same) throw new GlasshouseError('receipt_invalid', 'The payload is not in canonical form (RFC 8785).');
  return json;
}

function printable(keyId: string): string {
  return /^[0-9a-f]{64}$/.test(keyId) ? keyId : quote(keyId);
}
