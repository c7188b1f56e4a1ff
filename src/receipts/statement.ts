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

export interface SignedReceipt {
  /** Lower-case hexadecimal sha256 of the payload bytes. */
  readonly receiptId: string;
  /** The DSSE envelope as compact JSON. */
  readonly envelopeBytes: Uint8Array;
  readonly keyId: string;
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
 * Signs a statement. Throws `receipt_invalid` for one that no verifier would accept: an execution without a receipt
 * is noticed at once, a receipt that does not verify only when it is needed.
 */
export async function signStatement(statement: Statement, signer: Signer): Promise<SignedReceipt> {
  const json: AsJson<Statement> = statement;
  const problem = findInconsistency(assertSchema(STATEMENT_SCHEMA, json, 'statement'));
  if (problem !== null)
    throw new GlasshouseError('receipt_invalid', `The receipt contradicts itself: ${problem}.`);
  const payload = encodePayload(statement);
  if (payload.length > MAX_PAYLOAD_BYTES) {
    throw new GlasshouseError('receipt_invalid', `The receipt is larger than ${MAX_PAYLOAD_BYTES} bytes.`);
  }
  const sig = await signer.sign(preAuthenticationEncoding(PAYLOAD_TYPE, payload));
  const envelope = { payloadType: PAYLOAD_TYPE, payload, signatures: [{ keyid: signer.keyId, sig }] };
  return {
    receiptId: sha256(payload),
    envelopeBytes: canonicalBytes(envelopeToJson(envelope)),
    keyId: signer.keyId,
  };
}
