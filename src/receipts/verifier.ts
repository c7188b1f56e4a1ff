import { importPublicKey, keyIdOf, SIGNATURE_BYTES } from './crypto.js';
import { decodeSpkiPem, encodeSpkiPem } from './spki.js';

/** Checks signatures against one key. */
export interface Verifier {
  /** Lower-case hexadecimal sha256 of the public key's SubjectPublicKeyInfo (DER). */
  readonly keyId: string;
  /** Resolves to false for a signature that does not hold, of whatever length; never rejects for one. */
  verify(bytes: Uint8Array, signature: Uint8Array): Promise<boolean>;
}

export class Ed25519Verifier implements Verifier {
  readonly keyId: string;
  readonly publicKeyPem: string;
  readonly #check: (message: Uint8Array, signature: Uint8Array) => Promise<boolean>;

  private constructor(publicKey: Uint8Array) {
    this.keyId = keyIdOf(publicKey);
    this.publicKeyPem = encodeSpkiPem(publicKey);
    this.#check = importPublicKey(publicKey);
  }

  /** From SubjectPublicKeyInfo PEM; CRLF line ends and outer white space are let pass. Throws `key_invalid`. */
  static fromPem(pem: string): Ed25519Verifier {
    return new Ed25519Verifier(decodeSpkiPem(`${pem.trim().replaceAll('\r\n', '\n')}\n`));
  }

  async verify(bytes: Uint8Array, signature: Uint8Array): Promise<boolean> {
    return signature.length === SIGNATURE_BYTES && (await this.#check(bytes, signature));
  }
}
