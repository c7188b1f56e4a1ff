import { importPublicKey, keyIdOf } from './crypto.js';
import { decodeSpkiPem, encodeSpkiPem, type KeyAlgorithm, type PublicKey } from './spki.js';

/** Checks signatures against one key. */
export interface Verifier {
  /** Lower-case hexadecimal sha256 of the public key's SubjectPublicKeyInfo (DER). */
  readonly keyId: string;
  /** Resolves to false for a signature that does not hold, of whatever length; never rejects for one. */
  verify(bytes: Uint8Array, signature: Uint8Array): Promise<boolean>;
}

export class KeyVerifier implements Verifier {
  readonly keyId: string;
  readonly algorithm: KeyAlgorithm;
  readonly publicKeyPem: string;
  readonly #check: (message: Uint8Array, signature: Uint8Array) => Promise<boolean>;

  private constructor(key: PublicKey) {
    this.keyId = keyIdOf(key);
    this.algorithm = key.algorithm;
    this.publicKeyPem = encodeSpkiPem(key);
    this.#check = importPublicKey(key);
  }

  /** From SubjectPublicKeyInfo PEM; CRLF line ends and outer white space are let pass. Throws `key_invalid`. */
  static fromPem(pem: string): KeyVerifier {
    return new KeyVerifier(decodeSpkiPem(`${pem.trim().replaceAll('\r\n', '\n')}\n`));
  }

  verify(bytes: Uint8Array, signature: Uint8Array): Promise<boolean> {
    return this.#check(bytes, signature);
  }
}
