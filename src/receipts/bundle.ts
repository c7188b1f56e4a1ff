import { GlasshouseError } from '../base/errors.js';
import { encodeBase64 } from './base64.js';
import { canonicalBytes } from './canonical-json.js';
import { parseHash } from './checkpoint.js';
import { keyIdOf } from './crypto.js';
import { type Envelope, parseEnvelope } from './dsse.js';
import { type AsJson, isJsonObject, type JsonValue } from './json-value.js';
import { LOG_ENTRY, type LogEntry } from './log-entry.js';
import { MAX_PROOF_HASHES } from './merkle.js';
import { BUNDLE_MEDIA_TYPE } from './receipt.js';
import {
  arrayOf,
  assertSchema,
  matching,
  objectOf,
  oneOf,
  type Schema,
  sha256Hex,
  string,
} from './schema.js';
import { MAX_NOTE_BYTES } from './signed-note.js';
import { decodeSpkiPem, KEY_ALGORITHMS } from './spki.js';
import { parseStrictJson } from './strict-json.js';

/**
 * The largest file that is read as a receipt, the deepest nesting inside it, and more objects and arrays than a statement
 * of 20 MiB has.
 */
export const RECEIPT_BOUNDS = { maxBytes: 32 * 1024 * 1024, maxDepth: 16, maxContainers: 2_000_000 } as const;

/** A receipt file, decoded but not verified. */
export interface ReceiptFile {
  /** Null in a bare envelope, which does not say. */
  readonly claimedReceiptId: string | null;
  readonly envelope: Envelope;
  /** The RFC 8785 form of the envelope: what the log has the sha256 of. */
  readonly envelopeBytes: Uint8Array;
  /** A hint where to look, never a reason to trust; null in a bare envelope. */
  readonly publicKeyHint: { readonly keyId: string; readonly pem: string } | null;
  /** Null in a bare envelope. */
  readonly log: ClaimedLogProof | null;
}

/** What a receipt file says about its place in the log. */
export interface ClaimedLogProof {
  readonly entry: LogEntry;
  /** A signed note, not yet taken apart. */
  readonly checkpoint: string;
  readonly proof: readonly Uint8Array[];
}

const anything: Schema<JsonValue> = () => null;

const BUNDLE = objectOf({
  media_type: oneOf(BUNDLE_MEDIA_TYPE),
  receipt_id: sha256Hex,
  envelope: anything,
  public_key: objectOf({
    key_id: sha256Hex,
    algorithm: oneOf(...KEY_ALGORITHMS),
    spki_pem: string({ maxLength: 1_024 }),
  }),
  log: objectOf({
    entry: LOG_ENTRY,
    checkpoint: string({ maxLength: MAX_NOTE_BYTES }),
    inclusion_proof: arrayOf(
      matching(/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/, '32 bytes in canonical base64'),
      {
        max: MAX_PROOF_HASHES,
      },
    ),
  }),
});

/**
 * `receipt.json`: the envelope, the public key as a hint, and why the log has it, as compact JSON without a line end.
 * The PEM must be in the form of `publicKeyPem` of a signer, verifier or key ring; throws `key_invalid` otherwise.
 */
export function encodeBundle(
  receipt: { readonly receiptId: string; readonly envelopeBytes: Uint8Array },
  publicKeyPem: string,
  { entry, checkpoint, proof }: ClaimedLogProof,
): Uint8Array {
  const publicKey = decodeSpkiPem(publicKeyPem);
  const entryJson: AsJson<LogEntry> = entry;
  return canonicalBytes({
    media_type: BUNDLE_MEDIA_TYPE,
    receipt_id: receipt.receiptId,
    envelope: parseStrictJson(receipt.envelopeBytes, RECEIPT_BOUNDS),
    public_key: { key_id: keyIdOf(publicKey), algorithm: publicKey.algorithm, spki_pem: publicKeyPem },
    log: { entry: entryJson, checkpoint, inclusion_proof: proof.map(encodeBase64) },
  });
}

/** Reads a bundle, or a bare DSSE envelope. Throws `receipt_invalid`; says nothing about whether it verifies. */
export function parseReceiptFile(bytes: Uint8Array): ReceiptFile {
  const json = parseStrictJson(bytes, RECEIPT_BOUNDS);
  if (isJsonObject(json) && 'media_type' in json) return parseBundle(json);
  return {
    claimedReceiptId: null,
    envelope: parseEnvelope(json),
    envelopeBytes: canonicalBytes(json),
    publicKeyHint: null,
    log: null,
  };
}

function parseBundle(json: JsonValue): ReceiptFile {
  const bundle = assertSchema(BUNDLE, json, 'bundle');
  const envelope = parseEnvelope(bundle.envelope);
  const { key_id: keyId, algorithm, spki_pem: pem } = bundle.public_key;
  if (!isExactKey(pem, keyId, algorithm) || !envelope.signatures.some(({ keyid }) => keyid === keyId)) {
    throw new GlasshouseError(
      'receipt_invalid',
      'The public key in the bundle does not belong to the signature.',
    );
  }
  const { entry, checkpoint, inclusion_proof: hashes } = bundle.log;
  return {
    claimedReceiptId: bundle.receipt_id,
    envelope,
    envelopeBytes: canonicalBytes(bundle.envelope),
    publicKeyHint: { keyId, pem },
    log: { entry, checkpoint, proof: hashes.map(parseHash).filter((hash) => hash !== null) },
  };
}

/** Whether the PEM is the key of that id, in the one form that encodeBundle writes. */
function isExactKey(pem: string, keyId: string, algorithm: string): boolean {
  try {
    const key = decodeSpkiPem(pem);
    return keyIdOf(key) === keyId && key.algorithm === algorithm;
  } catch (thrown) {
    if (thrown instanceof GlasshouseError) return false;
    throw thrown;
  }
}
