import { GlasshouseError } from '../base/errors.js';
import { parseReceiptFile, RECEIPT_BOUNDS, type ReceiptFile } from './bundle.js';
import { canonicalBytes } from './canonical-json.js';
import { type Check, Checklist, failureIf, REQUIRED_CHECKS } from './check.js';
import { findInconsistency } from './consistency.js';
import { sha256 } from './crypto.js';
import { type Envelope, preAuthenticationEncoding } from './dsse.js';
import { type JsonValue } from './json-value.js';
import { PAYLOAD_TYPE, type Statement } from './receipt.js';
import { assertSchema } from './schema.js';
import { type NoteVerifier } from './signed-note.js';
import { STATEMENT_SCHEMA } from './statement-schema.js';
import { parseStrictJson } from './strict-json.js';
import { quote } from './text.js';
import { type Verifier } from './verifier.js';
import { checkLogPlace, FORKS } from './verify-log.js';

export { type Check, type CheckName, REQUIRED_CHECKS } from './check.js';

export interface VerificationReport {
  /** All required checks passed and no check failed. */
  readonly valid: boolean;
  /** sha256 of the payload that the file contains; null when it contains none. */
  readonly receiptId: string | null;
  /** Null unless a trusted key signed it and its shape is right: unsigned text is never handed on. */
  readonly statement: Statement | null;
  readonly checks: readonly Check[];
}

/** The name under which the source of a Python program is held against a receipt. */
export const CODE_SUBJECT = 'code';

/** Bytes at hand that a receipt should speak of, for example `stdout`, `code` or `workspace/out.txt`. */
export interface GivenSubject {
  readonly name: string;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
}

export interface VerifyOptions {
  readonly trustedKeys: readonly Verifier[];
  /** Keys of logs; without any, who signed the head of the log is not checked. */
  readonly logKeys?: readonly NoteVerifier[];
  readonly subjects?: readonly GivenSubject[];
  /** The id under which the receipt was announced; guards against another run's receipt. */
  readonly receiptId?: string;
  /** A checkpoint that you have from elsewhere; the receipt then has to be in its log. */
  readonly checkpoint?: Uint8Array;
}

/**
 * Verifies a receipt file (a bundle or a bare DSSE envelope), offline. Resolves to a report for any bytes at all;
 * nothing inside the file makes it reject. A public key inside the file is never trusted by itself.
 */
export async function verifyReceipt(bytes: Uint8Array, options: VerifyOptions): Promise<VerificationReport> {
  const { trustedKeys, logKeys = [], subjects = [], receiptId = null, checkpoint = null } = options;
  const verification = new Verification({ trustedKeys, logKeys, subjects, receiptId, checkpoint });
  await verification.run(bytes);
  return verification.report();
}

interface Expectations {
  readonly trustedKeys: readonly Verifier[];
  readonly logKeys: readonly NoteVerifier[];
  readonly subjects: readonly GivenSubject[];
  readonly receiptId: string | null;
  readonly checkpoint: Uint8Array | null;
}

class Verification {
  readonly #expected: Expectations;
  readonly #list = new Checklist();
  #receiptId: string | null = null;
  #statement: Statement | null = null;

  constructor(expected: Expectations) {
    this.#expected = expected;
  }

  async run(bytes: Uint8Array): Promise<void> {
    const file = this.#list.attempt('format', 'the file is well-formed', () => parseKnownFile(bytes));
    if (file === null) return;
    const { envelope } = file;
    this.#receiptId = sha256(envelope.payload);
    this.#checkReceiptId(file.claimedReceiptId, this.#receiptId);
    // As DSSE demands: nothing inside the payload is looked at before a trusted key has vouched for it.
    if (!(await this.#checkSignatures(envelope))) return;
    const json = this.#list.attempt('canonical_payload', 'the payload is the RFC 8785 form of itself', () =>
      parseCanonical(envelope.payload),
    );
    if (json === null) return;
    this.#statement = this.#list.attempt(
      'statement_schema',
      'every field is known, typed and within bounds',
      () => assertSchema(STATEMENT_SCHEMA, json, 'statement'),
    );
    if (this.#statement === null) return;
    const contradiction = findInconsistency(this.#statement);
    this.#list.judge(
      'consistency',
      'no field contradicts another',
      contradiction === null ? null : { code: 'receipt_contradictory', detail: contradiction },
    );
    for (const subject of this.#expected.subjects) this.#checkSubject(this.#statement, subject);
    await this.#checkLog(file, this.#statement);
  }

  report(): VerificationReport {
    const { checks } = this.#list;
    const passed = new Set(checks.filter(({ outcome }) => outcome === 'passed').map(({ name }) => name));
    const valid = !this.#list.hasFailure && REQUIRED_CHECKS.every((name) => passed.has(name));
    this.#nameTheUnchecked();
    return { valid, receiptId: this.#receiptId, statement: this.#statement, checks };
  }

  #checkReceiptId(claimed: string | null, actual: string): void {
    if (claimed === null) {
      this.#list.notChecked('receipt_id', `a bare envelope names none; the payload's is ${actual}`);
    } else {
      this.#list.judge(
        'receipt_id',
        'it is the sha256 of the payload',
        failureIf(claimed !== actual, 'receipt_id_mismatch', `the payload's is ${actual}`),
      );
    }
    const expected = this.#expected.receiptId;
    if (expected === null) return;
    this.#list.judge(
      'expected_id',
      'it is the receipt that was asked for',
      failureIf(expected !== actual, 'receipt_id_mismatch', 'it is the receipt of another run'),
    );
  }

  /** Every signature by a trusted key must hold, and there must be one. */
  async #checkSignatures(envelope: Envelope): Promise<boolean> {
    const pairs = envelope.signatures.flatMap(({ keyid, sig }) =>
      this.#expected.trustedKeys
        .filter(({ keyId }) => keyId === keyid)
        .map((verifier) => ({ verifier, sig })),
    );
    const ids = envelope.signatures.map(({ keyid }) => printable(keyid)).join(', ');
    const trusted = this.#list.judge(
      'trusted_key',
      `a trusted key has the id ${pairs.map(({ verifier }) => verifier.keyId).join(', ')}`,
      failureIf(pairs.length === 0, 'key_untrusted', `no trusted key with id ${ids}: give --key`),
    );
    if (!trusted) return false;
    const message = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
    const held = await Promise.all(pairs.map(({ verifier, sig }) => verifier.verify(message, sig)));
    return this.#list.judge(
      'signature',
      'the payload is what that key signed',
      failureIf(!held.every(Boolean), 'signature_invalid', 'the signature does not hold'),
    );
  }

  #checkSubject(statement: Statement, given: GivenSubject): void {
    const digests = digestsOf(statement, given.name);
    const matches = digests.length === 1 && digests[0] === given.sha256;
    const problem =
      digests.length === 1
        ? 'differs from the receipt'
        : `is the name of ${digests.length} subjects of the receipt`;
    this.#list.judge(
      'subject',
      `${quote(given.name)} is as in the receipt`,
      failureIf(!matches, 'subject_mismatch', `${quote(given.name)} ${problem}`),
    );
  }

  async #checkLog({ log, envelopeBytes }: ReceiptFile, { predicate }: Statement): Promise<void> {
    const { logKeys, checkpoint } = this.#expected;
    if (log !== null) {
      const place = { envelopeBytes, finishedAt: predicate.finished_at, log };
      await checkLogPlace(this.#list, place, { logKeys, checkpoint });
    } else if (checkpoint === null) {
      this.#list.notChecked('log_inclusion', 'a bare envelope does not say where it is in the log');
    } else {
      const detail = 'a bare envelope carries no proof that the log has it';
      this.#list.failed('log_inclusion', 'log_proof_missing', detail);
    }
  }

  /** Says what was not reached, and what no signature and no log can tell. */
  #nameTheUnchecked(): void {
    const reached = new Set(this.#list.checks.map(({ name }) => name));
    for (const name of REQUIRED_CHECKS)
      if (!reached.has(name)) this.#list.notChecked(name, 'not reached: an earlier check failed');
    if (this.#expected.subjects.length === 0) {
      const detail =
        'stdout, stderr, code and files were not given, so they were not compared with the receipt';
      this.#list.notChecked('output_bytes', detail);
    }
    this.#list.notChecked('clock', 'whether the clock of the signing host was right');
    this.#list.notChecked('host_truthfulness', 'whether the signing host reported what really happened');
    this.#list.notChecked('completeness', 'whether other receipts exist and were withheld');
    this.#list.notChecked('log_forks', FORKS);
  }
}

/** What the receipt says the bytes of that name are; `code` is what was asked for, everything else what came out. */
function digestsOf({ subject, predicate }: Statement, name: string): readonly string[] {
  const { code_sha256: code } = predicate.request;
  if (name === CODE_SUBJECT) return code === null ? [] : [code];
  return subject.filter((candidate) => candidate.name === name).map(({ digest }) => digest.sha256);
}

function parseKnownFile(bytes: Uint8Array): ReceiptFile {
  const file = parseReceiptFile(bytes);
  if (file.envelope.payloadType !== PAYLOAD_TYPE) {
    throw new GlasshouseError(
      'payload_type_unknown',
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
  if (!same)
    throw new GlasshouseError('payload_not_canonical', 'The payload is not in canonical form (RFC 8785).');
  return json;
}

function printable(keyId: string): string {
  return /^[0-9a-f]{64}$/.test(keyId) ? keyId : quote(keyId);
}
