import type Database from 'better-sqlite3';

import { GlasshouseError } from '../base/errors.js';
import { encodeTreeHead, encodeUpdate, parseCheckpoint, type TreeHead } from './checkpoint.js';
import { sha256 } from './crypto.js';
import { encodeLogEntry, parseLogEntry } from './log-entry.js';
import { hashLeaf, provesInclusion, sameHash } from './merkle.js';
import {
  completedHashes,
  consistencyProof,
  inclusionProof,
  type ReadHash,
  rootOf,
  storedPosition,
} from './merkle-tree.js';
import { type NoteSigner } from './signed-note.js';
import { type HeadMemory, type RememberedHead } from './store-head.js';
import { type LogProof } from './store-types.js';

/** Receipts that are read at a time. */
const PAGE = 64;

/** A receipt that is stored and not yet in the log. */
export interface PendingReceipt {
  readonly sequence: number;
  readonly envelope: Uint8Array;
  readonly finishedAt: string;
}

/** Where the log ends. */
interface LogEnd {
  readonly size: number;
  /** Of the last entry; empty when there is none. */
  readonly time: string;
}

interface CheckpointRow {
  readonly size: number;
  readonly note: string;
}

/** The log of all receipts of a store, inside the store's transactions. What differs from it throws `log_corrupt`. */
export class StoredLog {
  readonly #statements: ReturnType<typeof prepareStatements>;
  readonly #memory: HeadMemory;
  /** The end of a tree that this connection has checked or made: what is appended to it needs no other look. */
  #intactEnd: LogEnd | null = null;

  constructor(database: Database.Database, memory: HeadMemory) {
    this.#statements = prepareStatements(database);
    this.#memory = memory;
  }

  /** The newest signed head; null for a log without entries. */
  latest(): { readonly size: number; readonly note: string } | null {
    return this.#statements.latest.get() ?? null;
  }

  /** The newest head that was committed as the file beside the database has it; null: it has none. */
  recall(): RememberedHead | null {
    return this.#memory.recall();
  }

  /** Every head that was signed, in the order of their sizes, from the first that is larger than `size` on. */
  checkpointsAfter(size: number, count: number): { readonly size: number; readonly note: string }[] {
    return this.#statements.checkpoints.all(size, count);
  }

  /** Whether every stored receipt is in the log: those of an older version are not before the first append. */
  get isComplete(): boolean {
    return this.#statements.pending.all(this.latest()?.size ?? 0, 1).length === 0;
  }

  /**
   * Throws what keeps the log of this signer from being continued: `log_corrupt` when the tree is not the one that was
   * signed, `log_truncated` or `log_rewritten` when a later head is remembered than this database has. To go on all the
   * same would sign a fork.
   */
  assertContinuable(signer: NoteSigner): void {
    this.#intactEnd = this.#continuableEnd(signer);
  }

  /**
   * Logs all stored receipts that are not in the log yet and signs the new head, which it returns; null when there were
   * none. For the middle of a transaction, which is the caller's.
   * @param stored what this transaction has stored, in its order: it need not be read again.
   */
  extend(signer: NoteSigner, stored: readonly PendingReceipt[]): string | null {
    const oldSize = this.latest()?.size ?? 0;
    let end = this.#intactEnd?.size === oldSize ? this.#intactEnd : this.#continuableEnd(signer);
    for (const page of this.#unlogged(oldSize, stored)) end = this.#append(page, end);
    const { size } = end;
    if (size === oldSize) return null;
    const head = { origin: signer.name, size, root: rootOf(size, this.readHash) };
    const note = signer.sign(encodeTreeHead(head));
    this.#statements.addCheckpoint.run(size, note);
    this.#intactEnd = end;
    return note;
  }

  /** Forgets what was appended in a transaction that did not come about. */
  rolledBack(): void {
    this.#intactEnd = null;
  }

  /**
   * The proof for one entry against the first head that covers it: the same bytes each time. Null for an entry that is
   * not in the log. A proof that does not hold is not handed out.
   */
  prove(index: number): LogProof | null {
    const bytes = this.#statements.entry.get(index);
    const [checkpoint] = this.checkpointsAfter(index, 1);
    if (bytes === undefined || checkpoint === undefined) return null;
    const { size, root } = headOf(checkpoint);
    const proof = inclusionProof(index, size, this.readHash);
    if (!provesInclusion({ leafHash: hashLeaf(bytes), index, size, root, proof }))
      throw corrupt(`the proof for entry ${index} does not hold`);
    return { entry: parseLogEntry(bytes), checkpoint: checkpoint.note, proof };
  }

  /**
   * The newest checkpoint with the proof that it continues a tree of `oldSize` leaves, as c2sp.org/tlog-witness takes
   * it. Throws `log_truncated` when the log is smaller than that.
   */
  updateSince(oldSize: number): string {
    const latest = this.latest();
    if (latest === null || latest.size < oldSize) {
      throw new GlasshouseError(
        'log_truncated',
        `The log has ${latest?.size ?? 0} entries, fewer than the ${oldSize} of the older checkpoint.`,
      );
    }
    return encodeUpdate(latest.note, oldSize, consistencyProof(oldSize, latest.size, this.readHash));
  }

  /** Entries from `begin` on, at most `count`, as they were hashed. */
  entries(begin: number, count: number): Uint8Array[] {
    return this.#statements.entries.all(begin, begin + count);
  }

  /** The hash of a full subtree of 2^level leaves that are all in the log. */
  readonly readHash = (level: number, index: number): Uint8Array => {
    const hash = this.#statements.hash.get(storedPosition(level, index));
    if (hash === undefined) throw corrupt(`hash ${index} of level ${level} is missing`);
    return hash;
  };

  /** What assertContinuable() throws; or the end that can be continued. */
  #continuableEnd(signer: NoteSigner): LogEnd {
    // In this order: whatever was remembered before, the database has.
    const remembered = this.recall();
    const latest = this.latest();
    if (latest !== null) this.#assertIntact(latest);
    const size = latest?.size ?? 0;
    if (remembered !== null && isOf(signer, remembered)) this.#assertHas(remembered.checkpoint.head, size);
    return { size, time: this.#timeOfEntry(size - 1) };
  }

  /** By the page. Those that an older version has left out come before what was stored now, and are read. */
  *#unlogged(
    size: number,
    stored: readonly PendingReceipt[],
  ): Generator<readonly PendingReceipt[], void, undefined> {
    if (stored[0]?.sequence === size + 1) {
      yield stored;
      return;
    }
    const { pending } = this.#statements;
    for (
      let first = size, page = pending.all(first, PAGE);
      page.length > 0;
      page = pending.all(first, PAGE)
    ) {
      yield page;
      first += page.length;
    }
  }

  #append(page: readonly PendingReceipt[], { size, time }: LogEnd): LogEnd {
    const begin = storedPosition(0, size);
    const hashes: Uint8Array[] = [];
    const read: ReadHash = (level, index) =>
      hashes[storedPosition(level, index) - begin] ?? this.readHash(level, index);
    for (const { sequence, envelope, finishedAt } of page) {
      if (sequence !== size + 1) throw corrupt(`receipt ${size + 1} is missing`);
      time = latestOf(new Date().toISOString(), finishedAt, time);
      const entry = encodeLogEntry({ envelope_sha256: sha256(envelope), index: size, time });
      this.#statements.addEntry.run(size, entry);
      hashes.push(...completedHashes(size, hashLeaf(entry), read));
      size += 1;
    }
    for (const [offset, hash] of hashes.entries()) this.#statements.addHash.run(begin + offset, hash);
    return { size, time };
  }

  #timeOfEntry(index: number): string {
    const bytes = this.#statements.entry.get(index);
    return bytes === undefined ? '' : parseLogEntry(bytes).time;
  }

  #assertHas(remembered: TreeHead, size: number): void {
    if (remembered.size > size)
      throw rolledBack('log_truncated', `has ${size} entries, but a head of ${remembered.size} was signed`);
    if (!sameHash(rootOf(remembered.size, this.readHash), remembered.root))
      throw rolledBack(
        'log_rewritten',
        `has others than the ${remembered.size} entries whose head was signed`,
      );
  }

  #assertIntact(checkpoint: CheckpointRow): void {
    const { size, root } = headOf(checkpoint);
    if (!sameHash(rootOf(size, this.readHash), root))
      throw corrupt('its hashes are not those of the signed head');
  }
}

function headOf({ size, note }: CheckpointRow): { readonly size: number; readonly root: Uint8Array } {
  const { head } = parseCheckpoint(new TextEncoder().encode(note));
  if (head.size !== size) throw corrupt(`the checkpoint of size ${size} is of another size`);
  return head;
}

/** Ed25519 signs the same text in the same way: there is nothing to verify that cannot be made again. */
function isOf(signer: NoteSigner, { text, checkpoint: { head } }: RememberedHead): boolean {
  return head.origin === signer.name && signer.sign(encodeTreeHead(head)) === text;
}

function latestOf(...times: readonly string[]): string {
  return times.reduce((latest, time) => (time > latest ? time : latest));
}

function corrupt(how: string): GlasshouseError {
  return new GlasshouseError(
    'log_corrupt',
    `The stored log was changed from outside: ${how}. Restore the data directory from a backup that is not older ` +
      'than the newest checkpoint that anybody was given, or use another data directory.',
  );
}

function rolledBack(code: 'log_truncated' | 'log_rewritten', how: string): GlasshouseError {
  return new GlasshouseError(
    code,
    `The stored log ${how}: an older database was put back. To go on with it would fork the log. Restore the newer ` +
      'database, or begin a new log: move keys/log-key.pem out of the data directory.',
  );
}

function prepareStatements(database: Database.Database) {
  return {
    latest: database.prepare<[], CheckpointRow>(
      'SELECT size, note FROM log_checkpoints ORDER BY size DESC LIMIT 1',
    ),
    checkpoints: database.prepare<[number, number], CheckpointRow>(
      'SELECT size, note FROM log_checkpoints WHERE size > ? ORDER BY size LIMIT ?',
    ),
    pending: database.prepare<[number, number], PendingReceipt>(
      'SELECT sequence, envelope, finished_at AS finishedAt FROM receipts WHERE sequence > ? ORDER BY sequence LIMIT ?',
    ),
    hash: database.prepare<[number], Buffer>('SELECT hash FROM log_hashes WHERE position = ?').pluck(),
    entry: database.prepare<[number], Buffer>('SELECT entry FROM log_entries WHERE entry_index = ?').pluck(),
    entries: database
      .prepare<[number, number], Buffer>(
        'SELECT entry FROM log_entries WHERE entry_index >= ? AND entry_index < ? ORDER BY entry_index',
      )
      .pluck(),
    addEntry: database.prepare<[number, Uint8Array]>(
      'INSERT INTO log_entries (entry_index, entry) VALUES (?, ?)',
    ),
    addHash: database.prepare<[number, Uint8Array]>('INSERT INTO log_hashes (position, hash) VALUES (?, ?)'),
    addCheckpoint: database.prepare<[number, string]>(
      'INSERT INTO log_checkpoints (size, note) VALUES (?, ?)',
    ),
  };
}
