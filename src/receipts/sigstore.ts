import { canonicalBytes } from './canonical-json.js';
import { envelopeToJson } from './dsse.js';
import { parseReceiptFile } from './bundle.js';

export const SIGSTORE_MEDIA_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';

/**
 * The envelope as a Sigstore bundle v0.3 with a public key as its hint and no entry of Rekor, for verifiers that know
 * that format: https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto
 */
export function encodeSigstoreBundle(envelopeBytes: Uint8Array): Uint8Array {
  const { envelope } = parseReceiptFile(envelopeBytes);
  return canonicalBytes({
    mediaType: SIGSTORE_MEDIA_TYPE,
    verificationMaterial: { publicKey: { hint: envelope.signatures[0]?.keyid ?? '' }, tlogEntries: [] },
    dsseEnvelope: envelopeToJson(envelope),
  });
}
