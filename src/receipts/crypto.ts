/**
 * The only file of the receipt format that names a cryptographic library: a verifier for another platform replaces
 * this file and nothing else.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';

import { GlasshouseError } from '../base/errors.js';
import { encodeSpki, PUBLIC_KEY_BYTES } from './spki.js';

export const SIGNATURE_BYTES = 64;

/** Lower-case hexadecimal sha256 (FIPS 180-4). */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
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

/** The id of an Ed25519 public key (32 bytes): sha256 of its SubjectPublicKeyInfo in DER, lower-case hexadecimal. */
export function keyIdOf(publicKey: Uint8Array): string {
  return sha256(encodeSpki(publicKey));
}

export function randomHex(byteCount: number): string {
  return randomBytes(byteCount).toString('hex');
}

/** An Ed25519 private key (RFC 8032) that can be used but not read. */
export interface PrivateKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 64 bytes. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** A new Ed25519 private key as PKCS#8 PEM (RFC 8410). */
export function generatePrivateKeyPem(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** Throws `key_invalid` unless this is an unencrypted Ed25519 key in PKCS#8 PEM. */
export function importPrivateKey(pem: string): PrivateKey {
  const key = parsePrivateKey(pem);
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new GlasshouseError('key_invalid', 'The private key is not an Ed25519 key.');
  }
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return {
    publicKey: Uint8Array.from(spki.subarray(-PUBLIC_KEY_BYTES)),
    sign: (message) =>
      new Promise((resolve, reject) => {
        sign(null, message, key, (error, signature) => {
          if (error === null) resolve(Uint8Array.from(signature));
          else reject(error);
        });
      }),
  };
}

/** A function that checks Ed25519 signatures (64 bytes) against this public key (32 bytes). */
export function importPublicKey(
  publicKey: Uint8Array,
): (message: Uint8Array, signature: Uint8Array) => Promise<boolean> {
  const key = createPublicKey({ key: Buffer.from(encodeSpki(publicKey)), format: 'der', type: 'spki' });
  return (message, signature) =>
    new Promise((resolve, reject) => {
      verify(null, message, key, signature, (error, valid) => {
        if (error === null) resolve(valid);
        else reject(error);
      });
    });
}

function parsePrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, format: 'pem', type: 'pkcs8' });
  } catch (cause) {
    throw new GlasshouseError('key_invalid', 'The private key is not unencrypted PKCS#8 PEM.', { cause });
  }
}
