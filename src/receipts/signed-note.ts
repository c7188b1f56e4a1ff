/** Signed notes with Ed25519 keys: https://c2sp.org/signed-note */
import { GlasshouseError } from '../base/errors.js';
import { decodeBase64, encodeBase64, isBase64 } from './base64.js';
import { importPrivateKey, importPublicKey, sha256Bytes } from './crypto.js';
import { ed25519PublicKey, type PublicKey, rawPublicKey } from './spki.js';
import { decodeUtf8, isWellFormed, quote } from './text.js';

export const MAX_NOTE_BYTES = 256 * 1024;
const MAX_SIGNATURES = 64;
/** Signature type identifier byte. */
const ED25519 = 0x01;
const KEY_HASH_BYTES = 4;
const SIGNATURE_LINE_START = '\u2014 ';
/** Neither white space nor `+`. */
const KEY_NAME = /^[^\s\u0085+]{1,256}$/u;

export interface NoteSignature {
  readonly name: string;
  /** 8 hexadecimal digits. */
  readonly keyHash: string;
  readonly signature: Uint8Array;
}

export interface SignedNote {
  /** With the line end of its last line. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Splits a note; says nothing about whether a signature holds. Throws `checkpoint_invalid`. */
export function parseNote(bytes: Uint8Array): SignedNote {
  const note = bytes.length > MAX_NOTE_BYTES ? null : decodeUtf8(bytes);
  // eslint-disable-next-line no-control-regex -- that is what is refused
  if (note === null || /[\u0000-\u0009\u000b-\u001f]/.test(note)) throw malformed('it is no text of a note');
  const end = note.lastIndexOf('\n\n');
  if (end === -1) throw malformed('no blank line stands before signatures');
  const lines = note.slice(end + 2).split('\n');
  if (lines.pop() !== '') throw malformed('its last line does not end');
  if (lines.length === 0 || lines.length > MAX_SIGNATURES)
    throw malformed(`it does not have 1 to ${MAX_SIGNATURES} signatures`);
  return { text: note.slice(0, end + 1), signatures: lines.map(parseSignature) };
}

function parseSignature(line: string): NoteSignature {
  const [name = '', base64 = '', ...rest] = line.startsWith(SIGNATURE_LINE_START)
    ? line.slice(SIGNATURE_LINE_START.length).split(' ')
    : [];
  const bytes = isBase64(base64) ? decodeBase64(base64) : new Uint8Array();
  if (!KEY_NAME.test(name) || rest.length > 0 || bytes.length <= KEY_HASH_BYTES)
    throw malformed(`${quote(line)} is no signature`);
  return { name, keyHash: toHex(bytes.subarray(0, KEY_HASH_BYTES)), signature: bytes.slice(KEY_HASH_BYTES) };
}

/** Signs notes under a name. */
export class NoteSigner {
  readonly name: string;
  /** Verifier key: what NoteVerifier.parse takes. */
  readonly vkey: string;
  readonly publicKey: PublicKey;
  readonly #keyHash: Uint8Array;
  readonly #sign: (message: Uint8Array) => Uint8Array;

  /** The private key is Ed25519, PKCS#8 PEM; throws `key_invalid`. */
  constructor(pem: string, nameOf: (publicKey: PublicKey) => string) {
    const key = importPrivateKey(pem);
    const { publicKey } = key;
    if (publicKey.algorithm !== 'ed25519')
      throw new GlasshouseError('key_invalid', 'The key of the log is not an Ed25519 key.');
    this.publicKey = publicKey;
    this.name = checkedName(nameOf(publicKey));
    this.#keyHash = keyHashOf(this.name, publicKey);
    this.vkey = `${this.name}+${toHex(this.#keyHash)}+${encodeBase64(typed(publicKey))}`;
    this.#sign = (message) => key.signNow(message);
  }

  /** The text, which ends its last line, with the signature under it. */
  sign(text: string): string {
    const signature = this.#sign(new TextEncoder().encode(text));
    const bytes = new Uint8Array(KEY_HASH_BYTES + signature.length);
    bytes.set(this.#keyHash);
    bytes.set(signature, KEY_HASH_BYTES);
    return `${text}\n${SIGNATURE_LINE_START}${this.name} ${encodeBase64(bytes)}\n`;
  }
}

/** Checks the signatures of one key under one name. */
export class NoteVerifier {
  readonly name: string;
  readonly keyHash: string;
  readonly vkey: string;
  readonly #check: (message: Uint8Array, signature: Uint8Array) => Promise<boolean>;

  private constructor(name: string, publicKey: PublicKey, vkey: string) {
    this.name = name;
    this.keyHash = toHex(keyHashOf(name, publicKey));
    this.vkey = vkey;
    this.#check = importPublicKey(publicKey);
  }

  /** From a verifier key, `<name>+<hash>+<base64>`, of type Ed25519. Throws `key_invalid`. */
  static parse(vkey: string): NoteVerifier {
    const [name = '', hash, base64 = ''] = [...vkey.split('+', 2), ...afterSecondPlus(vkey)];
    const bytes = isBase64(base64) ? decodeBase64(base64) : new Uint8Array();
    if (!KEY_NAME.test(name) || bytes[0] !== ED25519)
      throw new GlasshouseError('key_invalid', `${quote(vkey)} is not the Ed25519 verifier key of a log.`);
    const verifier = new NoteVerifier(name, ed25519PublicKey(bytes.slice(1)), vkey);
    if (verifier.keyHash !== hash)
      throw new GlasshouseError(
        'key_invalid',
        `The hash in the verifier key ${quote(vkey)} is not that of its key.`,
      );
    return verifier;
  }

  /** Whether the note names this key as one of its signers. */
  isNamedBy(note: SignedNote): boolean {
    return note.signatures.some((signature) => this.#made(signature));
  }

  /** Whether the note has a signature of this key, and every one holds. */
  async verify(note: SignedNote): Promise<boolean> {
    const message = new TextEncoder().encode(note.text);
    const own = note.signatures.filter((signature) => this.#made(signature));
    const held = await Promise.all(own.map(({ signature }) => this.#check(message, signature)));
    return held.length > 0 && held.every(Boolean);
  }

  #made({ name, keyHash }: NoteSignature): boolean {
    return name === this.name && keyHash === this.keyHash;
  }
}

/** Base64 may have `+` in it: what follows the second one is the third part, whole. */
function afterSecondPlus(vkey: string): string[] {
  const second = vkey.indexOf('+', vkey.indexOf('+') + 1);
  return second === -1 ? [] : [vkey.slice(second + 1)];
}

function checkedName(name: string): string {
  if (KEY_NAME.test(name) && isWellFormed(name)) return name;
  throw new GlasshouseError('key_invalid', `${quote(name)} cannot be the name of a key.`);
}

/** SHA-256(name || 0x0A || type || public key), the first four bytes. */
function keyHashOf(name: string, publicKey: PublicKey): Uint8Array {
  const head = new TextEncoder().encode(`${name}\n`);
  return sha256Bytes(head, typed(publicKey)).slice(0, KEY_HASH_BYTES);
}

function typed(publicKey: PublicKey): Uint8Array {
  const raw = rawPublicKey(publicKey);
  const bytes = new Uint8Array(raw.length + 1);
  bytes[0] = ED25519;
  bytes.set(raw, 1);
  return bytes;
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function malformed(why: string): GlasshouseError {
  return new GlasshouseError('checkpoint_invalid', `The note is malformed: ${why}.`);
}
