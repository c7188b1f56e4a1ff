import { importPrivateKey, keyIdOf, type PrivateKey } from './crypto.js';
import { encodeSpkiPem, type KeyAlgorithm } from './spki.js';

/** Makes signatures with one key. */
export interface Signer {
  /** Lower-case hexadecimal sha256 of the public key's SubjectPublicKeyInfo (DER). */
  readonly keyId: string;
  /** Ed25519 (RFC 8032, pure): 64 bytes. P-256: ECDSA with SHA-256, DER. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

export class KeySigner implements Signer {
  readonly keyId: string;
  readonly algorithm: KeyAlgorithm;
  readonly publicKeyPem: string;
  readonly #key: PrivateKey;

  private constructor(key: PrivateKey) {
    this.#key = key;
    this.keyId = keyIdOf(key.publicKey);
    this.algorithm = key.publicKey.algorithm;
    this.publicKeyPem = encodeSpkiPem(key.publicKey);
  }

  /** From PKCS#8 PEM; throws `key_invalid`. */
  static fromPem(pem: string): KeySigner {
    return new KeySigner(importPrivateKey(pem));
  }

  sign(bytes: Uint8Array): Promise<Uint8Array> {
    return this.#key.sign(bytes);
  }
}
