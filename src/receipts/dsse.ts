import { GlasshouseError } from '../base/errors.js';
import { decodeBase64, encodeBase64 } from './base64.js';
import { type JsonObject, type JsonValue } from './json-value.js';
import { arrayOf, assertSchema, base64, type Infer, objectOf, string } from './schema.js';

/** Dead Simple Signing Envelope, https://github.com/secure-systems-lab/dsse/blob/master/envelope.md, decoded. */
export interface Envelope {
  readonly payloadType: string;
  readonly payload: Uint8Array;
  readonly signatures: readonly EnvelopeSignature[];
}

export interface EnvelopeSignature {
  /** A hint which key to try; not covered by the signature. */
  readonly keyid: string;
  readonly sig: Uint8Array;
}

const MAX_SIGNATURES = 8;
const ENCODER = new TextEncoder();

const ENVELOPE = objectOf({
  payload: base64,
  payloadType: string({ maxLength: 256 }),
  signatures: arrayOf(objectOf({ keyid: string({ maxLength: 256 }), sig: base64 }), {
    min: 1,
    max: MAX_SIGNATURES,
  }),
});

/**
 * PAE of https://github.com/secure-systems-lab/dsse/blob/master/protocol.md: the bytes that are signed,
 * `DSSEv1 <length> <type> <length> <payload>`, with lengths in bytes.
 */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = ENCODER.encode(payloadType);
  const header = ENCODER.encode(`DSSEv1 ${type.length} ${payloadType} ${payload.length} `);
  const encoded = new Uint8Array(header.length + payload.length);
  encoded.set(header);
  encoded.set(payload, header.length);
  return encoded;
}

/**
 * Takes an envelope with exactly the three fields, canonical standard base64, and one to eight signatures of
 * different keys. Throws `receipt_invalid`.
 */
export function parseEnvelope(value: JsonValue): Envelope {
  const envelope: Infer<typeof ENVELOPE> = assertSchema(ENVELOPE, value, 'envelope');
  const signatures = envelope.signatures.map(({ keyid, sig }) => ({ keyid, sig: decodeBase64(sig) }));
  if (new Set(signatures.map(({ keyid }) => keyid)).size !== signatures.length) {
    throw new GlasshouseError(
      'receipt_invalid',
      'The receipt is malformed: it has two signatures of one key.',
    );
  }
  return { payloadType: envelope.payloadType, payload: decodeBase64(envelope.payload), signatures };
}

/** The JSON form of an envelope. */
export function envelopeToJson(envelope: Envelope): JsonObject {
  return {
    payloadType: envelope.payloadType,
    payload: encodeBase64(envelope.payload),
    signatures: envelope.signatures.map(({ keyid, sig }) => ({ keyid, sig: encodeBase64(sig) })),
  };
}
