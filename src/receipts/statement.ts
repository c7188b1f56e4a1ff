import { GlasshouseError } from '../base/errors.js';
import { canonicalBytes } from './canonical-json.js';
import { findInconsistency } from './consistency.js';
import { sha256 } from './crypto.js';
import { envelopeToJson, preAuthenticationEncoding } from './dsse.js';
import { type AsJson } from './json-value.js';
import { PAYLOAD_TYPE, type Predicate, PREDICATE_TYPE, type Statement, STATEMENT_TYPE } from './receipt.js';
import { type Signer } from './signer.js';
import { assertSchema } from './schema.js';
import { STATEMENT_SCHEMA } from './statement-schema.js';
import { subjectsOf } from './subjects.js';

/** Bytes of a payload; well below what a reader of a whole bundle accepts. */
export const MAX_PAYLOAD_BYTES = 20 * 1024 * 1024;

/** The envelope of a statement that was signed; only signStatement() makes one. */
export class SignedReceipt {
  /** Lower-case hexadecimal sha256 of the payload bytes. */
  readonly receiptId: string;
  /** The DSSE envelope as compact JSON. */
  readonly envelopeBytes: Uint8Array;
  readonly keyId: string;
  readonly #statement: Statement;

  private constructor(statement: Statement, parts: Omit<SignedReceipt, 'isOver'>) {
    this.receiptId = parts.receiptId;
    this.envelopeBytes = parts.envelopeBytes;
    this.keyId = parts.keyId;
    this.#statement = statement;
  }

  /** See signStatement(). */
  static async sign(statement: Statement, signer: Signer): Promise<SignedReceipt> {
    const payload = encodePayload(frozen(statement));
    if (payload.length > MAX_PAYLOAD_BYTES) {
      throw new GlasshouseError('receipt_invalid', `The receipt is larger than ${MAX_PAYLOAD_BYTES} bytes.`);
    }
    const sig = await signer.sign(preAuthenticationEncoding(PAYLOAD_TYPE, payload));
    const envelope = { payloadType: PAYLOAD_TYPE, payload, signatures: [{ keyid: signer.keyId, sig }] };
    return new SignedReceipt(statement, {
      receiptId: sha256(payload),
      envelopeBytes: canonicalBytes(envelopeToJson(envelope)),
      keyId: signer.keyId,
    });
  }

  /** Whether this very statement was signed. It was frozen before: what it says now, it said then. */
  isOver(statement: Statement): boolean {
    return this.#statement === statement;
  }
}

/** The in-toto statement about one execution; its subjects follow from the predicate. */
export function buildStatement(predicate: Predicate): Statement {
  return { _type: STATEMENT_TYPE, subject: subjectsOf(predicate), predicateType: PREDICATE_TYPE, predicate };
}

/** The bytes that are hashed for the receipt's id and signed. */
export function encodePayload(statement: Statement): Uint8Array {
  const json: AsJson<Statement> = statement;
  return canonicalBytes(json);
}

/**
 * Signs a statement, which is frozen then. Throws `receipt_invalid` for one that no verifier would accept: an execution
 * without a receipt is noticed at once, a receipt that does not verify only when it is needed.
 */
export async function signStatement(statement: Statement, signer: Signer): Promise<SignedReceipt> {
  const json: AsJson<Statement> = statement;
  const problem = findInconsistency(assertSchema(STATEMENT_SCHEMA, json, 'statement'));
  if (problem !== null)
    throw new GlasshouseError('receipt_invalid', `The receipt contradicts itself: ${problem}.`);
  return SignedReceipt.sign(statement, signer);
}

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null)
    for (const member of Object.values(Object.freeze(value))) frozen(member);
  return value;
}
