import type Database from 'better-sqlite3';

import { GlasshouseError } from '../base/errors.js';
import { type NoteSigner } from './signed-note.js';
import { type Appended, appendFinished, STORING } from './store-append.js';
import { findCommand, type ListedCommand } from './store-command.js';
import { asStoreError, openStoreFile } from './store-file.js';
import { ALL_RECEIPTS, type ReceiptFilter } from './store-filter.js';
import { findFile, readChunks } from './store-files.js';
import { HeadMemory } from './store-head.js';
import { indexOlderReceipts } from './store-index.js';
import { positionOfReceipt, selectReceipts, selectSummaries, SUMMARY_COLUMNS } from './store-list.js';
import { StoredLog } from './store-log.js';
import {
  dropOldestOutputs,
  type DroppedOutputs,
  outputsToDrop,
  type RetentionPolicy,
} from './store-retention.js';
import { prepared } from './store-statements.js';
import { BackgroundSync } from './store-sync.js';
import {
  type BegunExecution,
  type FinishedExecution,
  type ListOptions,
  type LogProof,
  type ReceiptSummary,
  type StoredFile,
  type StoredReceipt,
} from './store-types.js';

export { type ListedCommand } from './store-command.js';
export { ALL_RECEIPTS, type ReceiptFilter } from './store-filter.js';
export { type DroppedOutputs, type RetentionPolicy } from './store-retention.js';
export type * from './store-types.js';

const MAX_PAGE = 1_000;
/** Whole receipts that each() holds: one may have megabytes. */
const RECEIPTS_AT_ONCE = 16;
/** A program that ends sooner has a receipt by then, and the commit of that brought everything to the disk. */
const BEGUN_SYNC_DELAY_MS = 100;
const BEGIN = `INSERT INTO executions
    (execution_id, started_at, owner_pid, owner_start_ticks, owner_boot_id, request, execution)
  VALUES (?, ?, ?, ?, ?, ?, ?)`;

interface BegunRow {
  readonly executionId: string;
  readonly startedAt: string;
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
  readonly request: string;
  readonly execution: string;
}

/** The head is null when nothing was logged. */
type AppendAndLog = (
  finished: readonly FinishedExecution[],
  signer: NoteSigner,
) => Pick<Appended, 'refusals'> & { readonly head: string | null };

/**
 * Receipts and what was stored beside them, in one SQLite file. Several processes may have it open at once. Every
 * method is synchronous and, but for begin(), durable when it returns (WAL, synchronous=FULL), and throws a
 * GlasshouseError: `store_failed`, or `disk_full`.
 */
export class ReceiptStore implements Disposable {
  readonly #database: Database.Database;
  readonly #headMemory: HeadMemory;
  readonly #sync: BackgroundSync;
  readonly #appendAndLog: Database.Transaction<AppendAndLog>;
  #log: StoredLog | null = null;

  private constructor(database: Database.Database, headMemory: HeadMemory) {
    this.#database = database;
    this.#headMemory = headMemory;
    this.#sync = new BackgroundSync(`${database.name}-wal`, BEGUN_SYNC_DELAY_MS);
    this.#appendAndLog = database.transaction<AppendAndLog>((finished, signer) => {
      const { refusals, stored } = appendFinished(database, finished);
      return { refusals, head: this.log.extend(signer, stored) };
    });
  }

  /** Opens `<directory>/glasshouse.db`, making it at first use. Throws `store_unsupported` for another's file. */
  static open(directory: string): ReceiptStore {
    const database = openStoreFile(directory);
    try {
      asStoreError('index the receipts of an older version', () => {
        indexOlderReceipts(database);
      });
    } catch (thrown) {
      database.close();
      throw thrown;
    }
    return new ReceiptStore(database, new HeadMemory(directory));
  }

  /** The log of all receipts. */
  get log(): StoredLog {
    this.#log ??= new StoredLog(this.#database, this.#headMemory);
    return this.#log;
  }

  /**
   * Records, before the program starts, that it is about to: an execution never disappears without a trace. The record
   * outlives this process when this returns, and a power cut a tenth of a second later, for which nobody waits.
   */
  begin(run: BegunExecution): void {
    asStoreError('record the start of an execution', () => {
      this.#database.pragma('synchronous = NORMAL');
      try {
        prepared(this.#database, BEGIN).run(
          run.executionId,
          run.startedAt,
          run.owner.pid,
          run.owner.startTicks,
          run.owner.bootId,
          run.request,
          run.execution,
        );
      } finally {
        this.#database.pragma('synchronous = FULL');
      }
    });
    this.#sync.request();
  }

  /**
   * Stores receipts of begun executions with their outputs, logs them, and signs the new head of the log, in one
   * transaction. The answer has for each what refused it, or null: `store_failed` when the execution was not begun,
   * already has a receipt, or when anything given does not agree with the receipt. Throws when nothing was stored, also
   * what StoredLog.assertContinuable() does. Without receipts it logs those that an older version stored.
   */
  append(finished: readonly FinishedExecution[], signer: NoteSigner): (GlasshouseError | null)[] {
    return asStoreError(STORING, () => {
      try {
        const { refusals, head } = this.#appendAndLog.immediate(finished, signer);
        if (head !== null) {
          this.#sync.synced();
          this.#headMemory.remember(head);
        }
        return refusals;
      } catch (thrown) {
        this.log.rolledBack();
        throw thrown;
      }
    });
  }

  /** Throws what keeps receipts from being logged: better before a program runs than after. */
  assertAppendable(signer: NoteSigner): void {
    asStoreError('continue the log', () => {
      this.log.assertContinuable(signer);
    });
  }

  /** Why a stored receipt is in the log; null for one that is not, which one of an older version may be. */
  proofOf(receiptId: string): LogProof | null {
    return asStoreError('prove that the receipt is in the log', () => {
      const sequence = this.#database
        .prepare<[string], number>('SELECT sequence FROM receipts WHERE receipt_id = ?')
        .pluck()
        .get(receiptId);
      return sequence === undefined ? null : this.log.prove(sequence - 1);
    });
  }

  /** Executions that were begun and have no receipt, in the order of their ids: they run, or their owner died. */
  unfinished(): BegunExecution[] {
    return asStoreError('list unfinished executions', () =>
      this.#database
        .prepare<[], BegunRow>(
          `SELECT execution_id AS executionId, started_at AS startedAt, owner_pid AS pid,
             owner_start_ticks AS startTicks, owner_boot_id AS bootId, request, execution
           FROM unfinished JOIN executions USING (execution_id) ORDER BY execution_id`,
        )
        .all()
        .map(({ pid, startTicks, bootId, ...run }) => ({ ...run, owner: { pid, startTicks, bootId } })),
    );
  }

  get(receiptId: string): StoredReceipt | null {
    return this.#findReceipt('receipt_id', receiptId);
  }

  getByExecution(executionId: string): StoredReceipt | null {
    return this.#findReceipt('execution_id', executionId);
  }

  /** The envelopes of the log's entries from `begin` on, at most `count`. */
  envelopes(begin: number, count: number): Uint8Array[] {
    return asStoreError('read receipts', () =>
      this.#database
        .prepare<[number, number], Buffer>(
          'SELECT envelope FROM receipts WHERE sequence > ? AND sequence <= ? ORDER BY sequence',
        )
        .pluck()
        .all(begin, begin + count),
    );
  }

  /**
   * One page of those that the filter takes, newest first: by the start of the execution, those of the same millisecond
   * by the order in which they were stored. Receipts that arrive meanwhile do not shift later pages. Throws `not_found`
   * for an unknown `before`.
   */
  list({ limit, before }: ListOptions, filter: ReceiptFilter = ALL_RECEIPTS): ReceiptSummary[] {
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE) {
      throw new GlasshouseError('invalid_request', `limit must be an integer from 1 to ${MAX_PAGE}.`, {
        field: 'limit',
      });
    }
    return asStoreError('list receipts', () => {
      const after = before === null ? null : positionOfReceipt(this.#database, before);
      if (before !== null && after === null) {
        throw new GlasshouseError('not_found', 'No receipt is stored under the id in before.', {
          field: 'before',
        });
      }
      return selectSummaries(this.#database, filter, { limit, after });
    });
  }

  /** What an execution was asked to run, cut for a list; null when nothing readable of it is stored. */
  commandOf(executionId: string): ListedCommand | null {
    return asStoreError('look up a command', () => findCommand(this.#database, executionId));
  }

  /** Every receipt that the filter takes, oldest first, a few in memory at a time; others may write meanwhile. */
  *each(filter: ReceiptFilter): Generator<StoredReceipt, void, undefined> {
    for (let after: bigint | null = null; ;) {
      const page = asStoreError('read receipts', () =>
        selectReceipts(this.#database, filter, { limit: RECEIPTS_AT_ONCE, after }),
      );
      yield* page;
      const last = page.at(-1);
      if (last === undefined) return;
      after = positionOfReceipt(this.#database, last.receiptId);
    }
  }

  /** Ids that begin with these hexadecimal digits, at most `limit`, in no particular order of time. */
  idsBeginningWith(prefix: string, limit: number): string[] {
    if (!/^[0-9a-f]{1,64}$/.test(prefix)) return [];
    return asStoreError('find a receipt', () =>
      this.#database
        .prepare<[string, string, number], string>(
          'SELECT receipt_id FROM receipts WHERE receipt_id >= ? AND receipt_id < ? LIMIT ?',
        )
        .pluck()
        .all(prefix, `${prefix}g`, limit),
    );
  }

  /**
   * Drops the oldest outputs that the policy does not keep, in many short transactions with a breath in between.
   * Receipts are never dropped.
   */
  async dropOutputs(policy: RetentionPolicy): Promise<DroppedOutputs> {
    const droppedAt = new Date().toISOString();
    let receipts = 0;
    let bytes = 0;
    for (;;) {
      const batch = asStoreError('drop outputs', () => dropOldestOutputs(this.#database, policy, droppedAt));
      if (batch.receipts === 0) break;
      receipts += batch.receipts;
      bytes += batch.bytes;
      await new Promise((resolve) => setImmediate(resolve));
    }
    // The write-ahead log still has what was dropped; whoever reads just now keeps it from being emptied.
    if (receipts > 0)
      asStoreError('empty the write-ahead log', () => this.#database.pragma('wal_checkpoint(TRUNCATE)'));
    return { receipts, bytes };
  }

  /** What dropOutputs() would drop. */
  outputsToDrop(policy: RetentionPolicy): DroppedOutputs {
    return asStoreError('look at outputs', () => outputsToDrop(this.#database, policy));
  }

  /** What was kept of stdout; null when nothing was captured, or it was deleted, or the receipt is unknown. */
  readStdout(receiptId: string): Uint8Array | null {
    return this.#readStream(receiptId, 'stdout');
  }

  readStderr(receiptId: string): Uint8Array | null {
    return this.#readStream(receiptId, 'stderr');
  }

  /** A stored output file by the raw bytes of its path; null when there is none. */
  fileEntry(receiptId: string, path: Uint8Array): StoredFile | null {
    const found = asStoreError('find the output file', () => findFile(this.#database, receiptId, path));
    return found === null ? null : { path: found.path, sizeBytes: found.sizeBytes, sha256: found.sha256 };
  }

  /** The bytes of a stored output file, 256 KiB at a time, read as they are asked for. Throws `not_found`. */
  *readFile(receiptId: string, path: Uint8Array): Generator<Uint8Array, void, undefined> {
    const found = asStoreError('find the output file', () => findFile(this.#database, receiptId, path));
    if (found === null) throw new GlasshouseError('not_found', 'No output file is stored under that path.');
    yield* readChunks(this.#database, found);
  }

  close(): void {
    this.#sync[Symbol.dispose]();
    this.#database.close();
    this.#headMemory[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #findReceipt(column: 'receipt_id' | 'execution_id', value: string): StoredReceipt | null {
    return asStoreError('read a receipt', () => {
      const select = `SELECT ${SUMMARY_COLUMNS}, envelope FROM receipts
        JOIN receipt_index ON receipt_index.receipt = receipts.sequence WHERE ${column} = ?`;
      return this.#database.prepare<[string], StoredReceipt>(select).get(value) ?? null;
    });
  }

  #readStream(receiptId: string, name: 'stdout' | 'stderr'): Uint8Array | null {
    return asStoreError(`read ${name}`, () => {
      const row = this.#database
        .prepare<[string, string], { content: Buffer }>(
          `SELECT content FROM streams JOIN receipts ON receipts.sequence = streams.receipt
           WHERE receipts.receipt_id = ? AND streams.name = ?`,
        )
        .get(receiptId, name);
      return row?.content ?? null;
    });
  }
}
