import { GlasshouseError } from '../base/errors.js';
import { decodeBase64, encodeBase64, isBase64 } from './base64.js';

/** What signs: Ed25519 (RFC 8032, pure), or ECDSA on P-256 with SHA-256 and DER signatures (FIPS 186-5, RFC 3279). */
export const KEY_ALGORITHMS = ['ed25519', 'ecdsa-p256'] as const;
export type KeyAlgorithm = (typeof KEY_ALGORITHMS)[number];

/** A public key in the one form that it has here. */
export interface PublicKey {
  readonly algorithm: KeyAlgorithm;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
}

interface Encoding {
  /** All that comes before the bytes of the key. */
  readonly prefix: Uint8Array;
  readonly keyBytes: number;
}

/**
 * Every SubjectPublicKeyInfo of an algorithm begins with the same bytes. Ed25519: RFC 8410 section 4, then the 32
 * bytes of the key. P-256: RFC 5480 section 2, the curve by its name, then the uncompressed point, 0x04 first.
 */
const ENCODINGS: Readonly<Record<KeyAlgorithm, Encoding>> = {
  ed25519: {
    prefix: Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00),
    keyBytes: 32,
  },
  'ecdsa-p256': {
    prefix: Uint8Array.from(
      [0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]
        .concat([0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07])
        .concat([0x03, 0x42, 0x00, 0x04]),
    ),
    keyBytes: 64,
  },
};

const PEM = /^-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END PUBLIC KEY-----\n$/;
/** RFC 7468 section 2. */
const PEM_LINE = 64;

/** The DER form of an Ed25519 public key of 32 bytes. */
export function ed25519PublicKey(key: Uint8Array): PublicKey {
  const { prefix } = ENCODINGS.ed25519;
  const spki = new Uint8Array(prefix.length + key.length);
  spki.set(prefix);
  spki.set(key, prefix.length);
  return publicKeyFromSpki(spki);
}

/** The 32 bytes of an Ed25519 key, the 64 of a P-256 point. */
export function rawPublicKey({ algorithm, spki }: PublicKey): Uint8Array {
  return spki.slice(ENCODINGS[algorithm].prefix.length);
}

/** Takes DER of exactly the form above; whether a point is on its curve is not looked at. Throws `key_invalid`. */
export function publicKeyFromSpki(spki: Uint8Array): PublicKey {
  const algorithm = KEY_ALGORITHMS.find((name) => hasEncoding(spki, ENCODINGS[name]));
  if (algorithm === undefined) {
    throw new GlasshouseError(
      'key_invalid',
      'The public key is neither an Ed25519 nor a P-256 key in PEM form ("-----BEGIN PUBLIC KEY-----").',
    );
  }
  return { algorithm, spki };
}

/** RFC 7468 section 13, lines of 64 characters that end with `\n`: what OpenSSL writes. */
export function encodeSpkiPem({ spki }: PublicKey): string {
  const lines = encodeBase64(spki).match(new RegExp(`.{1,${PEM_LINE}}`, 'g')) ?? [];
  return `-----BEGIN PUBLIC KEY-----\n${lines.join('\n')}\n-----END PUBLIC KEY-----\n`;
}

/** The public key of a PEM in exactly the form of encodeSpkiPem; throws `key_invalid` otherwise. */
export function decodeSpkiPem(pem: string): PublicKey {
  const body = PEM.exec(pem)?.[1]?.replaceAll('\n', '') ?? '';
  const key = publicKeyFromSpki(isBase64(body) ? decodeBase64(body) : new Uint8Array());
  if (encodeSpkiPem(key) === pem) return key;
  throw new GlasshouseError(
    'key_invalid',
    'The public key is not in the usual PEM form: 64 characters a line.',
  );
}

function hasEncoding(spki: Uint8Array, { prefix, keyBytes }: Encoding): boolean {
  return spki.length === prefix.length + keyBytes && prefix.every((byte, index) => spki[index] === byte);
}
