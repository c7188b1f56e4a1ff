import {
  closeSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

import { makeDirectory } from '../base/directory.js';
import { asGlasshouseError, GlasshouseError, systemErrorCode } from '../base/errors.js';
import { originOf } from './checkpoint.js';
import { generatePrivateKeyPem, keyIdOf, randomHex } from './crypto.js';
import { NoteSigner, NoteVerifier } from './signed-note.js';
import { KeySigner, type Signer } from './signer.js';
import { type KeyAlgorithm } from './spki.js';
import { KeyVerifier } from './verifier.js';

const PRIVATE_KEY_FILE = 'signing-key.pem';
const PUBLIC_KEY_SUFFIX = '.pub.pem';
const LOG_KEY_FILE = 'log-key.pem';
const LOG_KEY_SUFFIX = '.vkey';
const KEY_ID = /^[0-9a-f]{64}$/;
const TEMPORARY = /^\.[0-9a-f]{32}\.tmp$/;
/** A temporary file lives for milliseconds; one of this age was left behind by a process that died. */
const ABANDONED_AFTER_MS = 3_600_000;

/**
 * The signing keys of an installation, and every public key that it ever had:
 *
 *     signing-key.pem    the private key that signs receipts, PKCS#8, mode 0600
 *     <key id>.pub.pem   each public key of receipts, old ones too, so that old receipts still verify
 *     log-key.pem        the private key that signs the heads of the log; it is the log's identity and not rotated
 *     <key id>.vkey      its verifier key (c2sp.org/signed-note)
 */
export class KeyRing {
  readonly #directory: string;
  #signer: KeySigner;
  #logSigner: NoteSigner | null = null;

  private constructor(directory: string, signer: KeySigner) {
    this.#directory = directory;
    this.#signer = signer;
  }

  /**
   * Opens the ring, making directory (0700) and key at first use; of several processes at once, one makes the key
   * and all use it. Throws `key_unsafe` when others can read the key or replace it, `key_invalid` when it is neither an
   * Ed25519 nor a P-256 key.
   */
  static open(directory: string): KeyRing {
    return usingDirectory(directory, () => {
      makeDirectory(directory, 0o700);
      refuseWritableByOthers(directory);
      const file = join(directory, PRIVATE_KEY_FILE);
      const signer = KeySigner.fromPem(readPrivateKey(file) ?? createPrivateKey(directory, file));
      publish(directory, `${signer.keyId}${PUBLIC_KEY_SUFFIX}`, signer.publicKeyPem);
      return new KeyRing(directory, signer);
    });
  }

  /** Signs with the current key. */
  get signer(): Signer {
    return this.#signer;
  }

  /** The kind of the current key. */
  get algorithm(): KeyAlgorithm {
    return this.#signer.algorithm;
  }

  /** The current public key, SubjectPublicKeyInfo PEM. */
  get publicKeyPem(): string {
    return this.#signer.publicKeyPem;
  }

  /** Signs the heads of the log; its key is made at first use. Throws what open() does. */
  get logSigner(): NoteSigner {
    this.#logSigner ??= usingDirectory(this.#directory, () => {
      const file = join(this.#directory, LOG_KEY_FILE);
      const signer = new NoteSigner(
        readPrivateKey(file) ?? createPrivateKey(this.#directory, file),
        originOf,
      );
      publish(this.#directory, `${keyIdOf(signer.publicKey)}${LOG_KEY_SUFFIX}`, `${signer.vkey}\n`);
      return signer;
    });
    return this.#logSigner;
  }

  /** The verifier keys of the log, in the order of their ids: one, or more when its key was replaced by hand. */
  logVerifiers(): NoteVerifier[] {
    return usingDirectory(this.#directory, () =>
      namesWith(this.#directory, LOG_KEY_SUFFIX).map((name) =>
        NoteVerifier.parse(readFileSync(join(this.#directory, name), 'utf8').trimEnd()),
      ),
    );
  }

  /** Every public key of receipts that this installation ever had, in the order of their ids. Throws `key_invalid`. */
  verifiers(): KeyVerifier[] {
    return usingDirectory(this.#directory, () =>
      namesWith(this.#directory, PUBLIC_KEY_SUFFIX).map((name) => readPublicKey(this.#directory, name)),
    );
  }

  /** One of them, PEM; null for an id that is not among them. Throws `key_invalid`. */
  publicKeyOf(keyId: string): string | null {
    if (!KEY_ID.test(keyId)) return null;
    const name = `${keyId}${PUBLIC_KEY_SUFFIX}`;
    return usingDirectory(this.#directory, () => {
      if (statSync(join(this.#directory, name), { throwIfNoEntry: false }) === undefined) return null;
      return readPublicKey(this.#directory, name).publicKeyPem;
    });
  }

  /**
   * Makes a new key, of the same kind unless told otherwise, the current one and removes the old private key; its public key stays. Another process that has
   * the ring open signs with the old key until it opens the ring again. Returns the new key's id.
   */
  rotate(algorithm: KeyAlgorithm = this.algorithm): string {
    const pem = generatePrivateKeyPem(algorithm);
    const signer = KeySigner.fromPem(pem);
    usingDirectory(this.#directory, () => {
      publish(this.#directory, `${signer.keyId}${PUBLIC_KEY_SUFFIX}`, signer.publicKeyPem);
      withTemporaryFile(this.#directory, pem, 0o600, (temporary) => {
        renameSync(temporary, join(this.#directory, PRIVATE_KEY_FILE));
      });
    });
    this.#signer = signer;
    return signer.keyId;
  }
}

/** Turns an error of the file system into one that names the directory. */
function usingDirectory<T>(directory: string, action: () => T): T {
  try {
    return action();
  } catch (thrown) {
    if (thrown instanceof GlasshouseError) throw thrown;
    const { code, message } = asGlasshouseError(thrown, 'key_invalid');
    throw new GlasshouseError(code, `The key directory ${directory} cannot be used: ${message}`, {
      cause: thrown,
    });
  }
}

/** The PEM text; null when there is no file. */
function readPrivateKey(file: string): string | null {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return null;
    throw new GlasshouseError('key_invalid', `The private key ${file} cannot be read.`, { cause: thrown });
  }
  try {
    const mode = fstatSync(descriptor).mode & 0o777;
    if ((mode & 0o077) !== 0) {
      throw new GlasshouseError(
        'key_unsafe',
        `Others can access the private key ${file} (mode 0${mode.toString(8)}): run "chmod 600" on it, or ` +
          'rotate the key if somebody may have read it.',
      );
    }
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** Makes the first key. link(2) does not replace: whoever comes second gets the key of whoever came first. */
function createPrivateKey(directory: string, file: string): string {
  const pem = generatePrivateKeyPem('ed25519');
  return withTemporaryFile(directory, pem, 0o600, (temporary) => {
    if (linkUnlessExists(temporary, file)) return pem;
    const theirs = readPrivateKey(file);
    if (theirs === null)
      throw new GlasshouseError('key_invalid', `The private key ${file} was removed meanwhile.`);
    return theirs;
  });
}

/** Writes a public key beside the private one, unless it is there. */
function publish(directory: string, name: string, content: string): void {
  const file = join(directory, name);
  if (statSync(file, { throwIfNoEntry: false }) !== undefined) return;
  withTemporaryFile(directory, content, 0o644, (temporary) => linkUnlessExists(temporary, file));
}

function namesWith(directory: string, suffix: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith(suffix))
    .sort();
}

function readPublicKey(directory: string, name: string): KeyVerifier {
  const file = join(directory, name);
  const verifier = KeyVerifier.fromPem(readFileSync(file, 'utf8'));
  if (`${verifier.keyId}${PUBLIC_KEY_SUFFIX}` !== name) {
    throw new GlasshouseError('key_invalid', `The public key ${file} is not the key that its name says.`);
  }
  return verifier;
}

/** Writes a new file durably under a name of its own, hands it over, and removes that name whatever happens. */
function withTemporaryFile<T>(
  directory: string,
  content: string,
  mode: number,
  use: (temporary: string) => T,
): T {
  removeAbandoned(directory);
  const temporary = join(directory, `.${randomHex(16)}.tmp`);
  try {
    const descriptor = openSync(temporary, 'wx', mode);
    try {
      writeSync(descriptor, content);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    const result = use(temporary);
    syncDirectory(directory);
    return result;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function linkUnlessExists(existing: string, name: string): boolean {
  try {
    linkSync(existing, name);
    return true;
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'EEXIST') return false;
    throw thrown;
  }
}

/** A new name in a directory survives a power cut only after the directory itself was synced. */
function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function removeAbandoned(directory: string): void {
  const now = Date.now();
  for (const name of readdirSync(directory)) {
    if (!TEMPORARY.test(name)) continue;
    const file = join(directory, name);
    const modifiedMs = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? now;
    if (now - modifiedMs > ABANDONED_AFTER_MS) rmSync(file, { force: true });
  }
}

/** Whoever can write to the directory can put another key in the place of ours. */
function refuseWritableByOthers(directory: string): void {
  const mode = statSync(directory).mode & 0o777;
  if ((mode & 0o022) !== 0) {
    throw new GlasshouseError(
      'key_unsafe',
      `Others can write to the key directory ${directory} (mode 0${mode.toString(8)}): run "chmod 700" on it.`,
    );
  }
}
