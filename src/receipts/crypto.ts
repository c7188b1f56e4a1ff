/**
 * The only file of the receipt format that names a cryptographic library: a verifier for another platform replaces
 * this file and nothing else.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';

import { GlasshouseError } from '../base/errors.js';
import { type KeyAlgorithm, type PublicKey, publicKeyFromSpki } from './spki.js';

/** What the signature function of OpenSSL calls the hash; Ed25519 has its own. */
const DIGESTS: Readonly<Record<KeyAlgorithm, string | null>> = { ed25519: null, 'ecdsa-p256': 'sha256' };

/** Up to this, waking another thread takes longer than the signature; beyond, it would hold up everybody else. */
const SIGNED_AT_ONCE_BYTES = 64 * 1024;

/** Ed25519: always 64 bytes. ECDSA: a SEQUENCE of two INTEGERs of at most 33 bytes. */
const SIGNATURE_BYTES: Readonly<Record<KeyAlgorithm, { readonly min: number; readonly max: number }>> = {
  ed25519: { min: 64, max: 64 },
  'ecdsa-p256': { min: 8, max: 72 },
};

/** Lower-case hexadecimal sha256 (FIPS 180-4); of a text, that of its UTF-8. */
export function sha256(bytes: Uint8Array | string): string {
  return hash('sha256', bytes, 'hex');
}

/** The 32 bytes of the sha256 of all parts, one after the other. */
export function sha256Bytes(...parts: readonly Uint8Array[]): Uint8Array {
  return hash('sha256', Buffer.concat(parts), 'buffer');
}

/** sha256 of bytes that come in pieces. */
export class Sha256 {
  readonly #hash = createHash('sha256');

  update(bytes: Uint8Array): this {
    this.#hash.update(bytes);
    return this;
  }

  /** Lower-case hexadecimal; may be asked once. */
  digest(): string {
    return this.#hash.digest('hex');
  }
}

/** The id of a public key: sha256 of its SubjectPublicKeyInfo in DER, lower-case hexadecimal. */
export function keyIdOf({ spki }: PublicKey): string {
  return sha256(spki);
}

export function randomHex(byteCount: number): string {
  return randomBytes(byteCount).toString('hex');
}

/** A private key that can be used but not read. */
export interface PrivateKey {
  readonly publicKey: PublicKey;
  sign(message: Uint8Array): Promise<Uint8Array>;
  /** The same, without leaving the thread: for the middle of a transaction. */
  signNow(message: Uint8Array): Uint8Array;
}

/** A new private key as PKCS#8 PEM (RFC 8410, RFC 5915). */
export function generatePrivateKeyPem(algorithm: KeyAlgorithm = 'ed25519'): string {
  const pair =
    algorithm === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** Throws `key_invalid` unless this is an unencrypted Ed25519 or P-256 key in PKCS#8 PEM. */
export function importPrivateKey(pem: string): PrivateKey {
  const key = parsePrivateKey(pem);
  const publicKey = publicKeyFromSpki(
    Uint8Array.from(createPublicKey(key).export({ type: 'spki', format: 'der' })),
  );
  const digest = DIGESTS[publicKey.algorithm];
  const signNow = (message: Uint8Array): Uint8Array => Uint8Array.from(sign(digest, message, key));
  return {
    publicKey,
    sign: (message) =>
      new Promise((resolve, reject) => {
        if (message.length <= SIGNED_AT_ONCE_BYTES) {
          resolve(signNow(message));
          return;
        }
        sign(digest, message, key, (error, signature) => {
          if (error === null) resolve(Uint8Array.from(signature));
          else reject(error);
        });
      }),
    signNow,
  };
}

/**
 * A function that checks signatures against this public key; false for one that does not hold, of whatever length.
 * Throws `key_invalid` for a point that is not on the curve.
 */
export function importPublicKey({
  algorithm,
  spki,
}: PublicKey): (message: Uint8Array, signature: Uint8Array) => Promise<boolean> {
  const key = parsePublicKey(spki);
  const { min, max } = SIGNATURE_BYTES[algorithm];
  return (message, signature) =>
    new Promise((resolve, reject) => {
      if (signature.length < min || signature.length > max) {
        resolve(false);
        return;
      }
      verify(DIGESTS[algorithm], message, key, signature, (error, valid) => {
        if (error === null) resolve(valid);
        else reject(error);
      });
    });
}

function parsePublicKey(spki: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch (cause) {
    throw new GlasshouseError('key_invalid', 'The public key is not a point of its curve.', { cause });
  }
}

function parsePrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, format: 'pem', type: 'pkcs8' });
  } catch (cause) {
    throw new GlasshouseError('key_invalid', 'The private key is not unencrypted PKCS#8 PEM.', { cause });
  }
}
