/** Shared by the tests of the log: a key for it, and a log in memory. */
import { encodeTreeHead, encodeUpdate, originOf } from '../../src/receipts/checkpoint.js';
import { sha256 } from '../../src/receipts/crypto.js';
import { encodeLogEntry, type LogEntry } from '../../src/receipts/log-entry.js';
import { hashLeaf } from '../../src/receipts/merkle.js';
import {
  completedHashes,
  consistencyProof,
  inclusionProof,
  type ReadHash,
  rootOf,
  storedPosition,
} from '../../src/receipts/merkle-tree.js';
import { NoteSigner, NoteVerifier } from '../../src/receipts/signed-note.js';
import { type LogProof } from '../../src/receipts/store.js';
import { privateKeyPem } from './private-key.js';

/** RFC 8032 section 7.1, TEST 2. */
const RFC8032_TEST2_SEED = '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb';

export const LOG_SIGNER = new NoteSigner(privateKeyPem(RFC8032_TEST2_SEED), originOf);
export const LOG_VERIFIER = NoteVerifier.parse(LOG_SIGNER.vkey);

export const LOGGED_AT = '2025-01-02T03:04:08.000Z';

/** A log that keeps everything in memory, signed by LOG_SIGNER unless told otherwise. */
export class MemoryLog {
  readonly entries: LogEntry[] = [];
  readonly signer: NoteSigner;
  readonly #hashes: Uint8Array[] = [];

  constructor(signer: NoteSigner = LOG_SIGNER) {
    this.signer = signer;
  }

  readonly read: ReadHash = (level, index) => {
    const hash = this.#hashes[storedPosition(level, index)];
    if (hash === undefined) throw new Error(`no hash ${level}/${index}`);
    return hash;
  };

  get size(): number {
    return this.entries.length;
  }

  /** Logs an envelope and returns its index. */
  add(envelope: Uint8Array, time = LOGGED_AT): number {
    return this.addEntry({ envelope_sha256: sha256(envelope), index: this.size, time });
  }

  addEntry(entry: LogEntry): number {
    const index = this.size;
    this.entries.push(entry);
    this.#hashes.push(...completedHashes(index, hashLeaf(encodeLogEntry(entry)), this.read));
    return index;
  }

  /** Logs so many envelopes of no interest. */
  fill(count: number, what = 'filler'): this {
    for (let number = 0; number < count; number += 1) this.add(Buffer.from(`${what} ${this.size}`));
    return this;
  }

  root(size = this.size): Uint8Array {
    return rootOf(size, this.read);
  }

  checkpoint(size = this.size): string {
    return this.signer.sign(encodeTreeHead({ origin: this.signer.name, size, root: this.root(size) }));
  }

  prove(index: number, size = this.size): LogProof {
    const entry = this.entries[index];
    if (entry === undefined) throw new Error(`no entry ${index}`);
    return { entry, checkpoint: this.checkpoint(size), proof: inclusionProof(index, size, this.read) };
  }

  update(oldSize: number, size = this.size): string {
    return encodeUpdate(this.checkpoint(size), oldSize, consistencyProof(oldSize, size, this.read));
  }
}

/** The proof of an envelope that is entry 2 of 5. */
export function sampleProof(envelope: Uint8Array): LogProof {
  const log = new MemoryLog().fill(2);
  const index = log.add(envelope);
  return log.fill(2).prove(index);
}
