import { GlasshouseError } from '../base/errors.js';
import { canonicalBytes } from './canonical-json.js';
import { keyIdOf } from './crypto.js';
import { type Envelope, parseEnvelope } from './dsse.js';
import { isJsonObject, type JsonValue } from './json-value.js';
import { BUNDLE_MEDIA_TYPE } from './receipt.js';
import { assertSchema, objectOf, oneOf, type Schema, sha256Hex, string } from './schema.js';
import { decodeSpkiPem } from './spki.js';
import { parseStrictJson } from './strict-json.js';

/** The largest file that is read as a receipt, and the deepest nesting inside it. */
export const RECEIPT_BOUNDS = { maxBytes: 32 * 1024 * 1024, maxDepth: 16 } as const;

/** A receipt file, decoded but not verified. */
export interface ReceiptFile {
  /** Null in a bare envelope, which does not say. */
  readonly claimedReceiptId: string | null;
  readonly envelope: Envelope;
  /** A hint where to look, never a reason to trust; null in a bare envelope. */
  readonly publicKeyHint: { readonly keyId: string; readonly pem: string } | null;
}

const anything: Schema<JsonValue> = () => null;

const BUNDLE = objectOf({
  media_type: oneOf(BUNDLE_MEDIA_TYPE),
  receipt_id: sha256Hex,
  envelope: anything,
  public_key: objectOf({
    key_id: sha256Hex,
    algorithm: oneOf('ed25519'),
    spki_pem: string({ maxLength: 1_024 }),
  }),
});

/**
 * `receipt.json`: the envelope with the public key as a hint, as compact JSON without a line end. The PEM must be in
 * the form of `publicKeyPem` of a signer, verifier or key ring; throws `key_invalid` otherwise.
 */
export function encodeBundle(
  receipt: { readonly receiptId: string; readonly envelopeBytes: Uint8Array },
  publicKeyPem: string,
): Uint8Array {
  return canonicalBytes({
    media_type: BUNDLE_MEDIA_TYPE,
    receipt_id: receipt.receiptId,
    envelope: parseStrictJson(receipt.envelopeBytes, RECEIPT_BOUNDS),
    public_key: {
      key_id: keyIdOf(decodeSpkiPem(publicKeyPem)),
      algorithm: 'ed25519',
      spki_pem: publicKeyPem,
    },
  });
}

/** Reads a bundle, or a bare DSSE envelope. Throws `receipt_invalid`; says nothing about whether it verifies. */
export function parseReceiptFile(bytes: Uint8Array): ReceiptFile {
  const json = parseStrictJson(bytes, RECEIPT_BOUNDS);
  if (isJsonObject(json) && 'media_type' in json) return parseBundle(json);
  return { claimedReceiptId: null, envelope: parseEnvelope(json), publicKeyHint: null };
}

function parseBundle(json: JsonValue): ReceiptFile {
  const bundle = assertSchema(BUNDLE, json, 'bundle');
  const envelope = parseEnvelope(bundle.envelope);
  const { key_id: keyId, spki_pem: pem } = bundle.public_key;
  if (!isExactKey(pem, keyId) || !envelope.signatures.some((signature) => signature.keyid === keyId)) {
    throw new GlasshouseError(
      'receipt_invalid',
      'The public key in the bundle does not belong to the signature.',
    );
  }
  return { claimedReceiptId: bundle.receipt_id, envelope, publicKeyHint: { keyId, pem } };
}

/** Whether the PEM is the key of that id, in the one form that encodeBundle writes. */
function isExactKey(pem: string, keyId: string): boolean {
  try {
    return keyIdOf(decodeSpkiPem(pem)) === keyId;
  } catch (thrown) {
    if (thrown instanceof GlasshouseError) return false;
    throw thrown;
  }
}
