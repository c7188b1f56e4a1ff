import { GlasshouseError } from '../base/errors.js';
import { decodeBase64, encodeBase64, isBase64 } from './base64.js';

export const PUBLIC_KEY_BYTES = 32;

/** RFC 8410 section 4: the SubjectPublicKeyInfo of every Ed25519 key is these bytes and the 32 bytes of the key. */
const PREFIX = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00);

const PEM = /^-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=]+)\n-----END PUBLIC KEY-----\n$/;

/** The DER form of an Ed25519 public key of 32 bytes. */
export function encodeSpki(publicKey: Uint8Array): Uint8Array {
  const der = new Uint8Array(PREFIX.length + PUBLIC_KEY_BYTES);
  der.set(PREFIX);
  der.set(publicKey, PREFIX.length);
  return der;
}

/** RFC 7468 section 13, one line of base64, `\n` line ends: what OpenSSL writes. */
export function encodeSpkiPem(publicKey: Uint8Array): string {
  return `-----BEGIN PUBLIC KEY-----\n${encodeBase64(encodeSpki(publicKey))}\n-----END PUBLIC KEY-----\n`;
}

/** The 32 bytes of an Ed25519 public key in exactly the form of encodeSpkiPem; throws `key_invalid` otherwise. */
export function decodeSpkiPem(pem: string): Uint8Array {
  const body = PEM.exec(pem)?.[1] ?? '';
  const der = isBase64(body) ? decodeBase64(body) : new Uint8Array();
  if (der.length !== PREFIX.length + PUBLIC_KEY_BYTES || PREFIX.some((byte, index) => der[index] !== byte)) {
    throw new GlasshouseError(
      'key_invalid',
      'The public key is not an Ed25519 key in PEM form ("-----BEGIN PUBLIC KEY-----").',
    );
  }
  return der.slice(PREFIX.length);
}
