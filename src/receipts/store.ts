import type Database from 'better-sqlite3';

import { GlasshouseError } from '../base/errors.js';
import { sha256 } from './crypto.js';
import { type Statement } from './receipt.js';
import { encodePayload, type SignedReceipt } from './statement.js';
import { type NoteSigner } from './signed-note.js';
import { asStoreError, openStoreFile, storeError } from './store-file.js';
import { findFile, insertFile, readChunks } from './store-files.js';
import { StoredLog } from './store-log.js';
import {
  type BegunExecution,
  type FinishedExecution,
  type ListOptions,
  type LogProof,
  type ReceiptSummary,
  type StoredFile,
  type StoredOutputs,
  type StoredReceipt,
} from './store-types.js';
import { textFromBytes } from './text.js';

export type * from './store-types.js';

const MAX_PAGE = 1_000;
const STORING = 'store the receipt';

const SUMMARY_COLUMNS = `receipt_id AS receiptId, execution_id AS executionId, key_id AS keyId, timestamp,
  finished_at AS finishedAt, kind, status, exit_code AS exitCode, signal, backend, isolation`;

interface BegunRow {
  readonly executionId: string;
  readonly startedAt: string;
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
  readonly request: string;
  readonly execution: string;
}

/**
 * Receipts and what was stored beside them, in one SQLite file. Several processes may have it open at once. Every
 * method is synchronous and durable when it returns (WAL, synchronous=FULL), and throws a GlasshouseError:
 * `store_failed`, or `disk_full`.
 */
export class ReceiptStore implements Disposable {
  readonly #database: Database.Database;
  #log: StoredLog | null = null;

  private constructor(database: Database.Database) {
    this.#database = database;
  }

  /** Opens `<directory>/glasshouse.db`, making it at first use. Throws `store_unsupported` for another's file. */
  static open(directory: string): ReceiptStore {
    return new ReceiptStore(openStoreFile(directory));
  }

  /** The log of all receipts. */
  get log(): StoredLog {
    this.#log ??= new StoredLog(this.#database);
    return this.#log;
  }

  /** Records, before the program starts, that it is about to: an execution never disappears without a trace. */
  begin(run: BegunExecution): void {
    asStoreError('record the start of an execution', () => {
      this.#database
        .prepare(
          `INSERT INTO executions
             (execution_id, started_at, owner_pid, owner_start_ticks, owner_boot_id, request, execution)
           VALUES (?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          run.executionId,
          run.startedAt,
          run.owner.pid,
          run.owner.startTicks,
          run.owner.bootId,
          run.request,
          run.execution,
        );
    });
  }

  /**
   * Stores receipts of begun executions with their outputs, logs them, and signs the new head of the log, in one
   * transaction. The answer has for each what refused it, or null: `store_failed` when the execution was not begun,
   * already has a receipt, or when anything given does not agree with the receipt. Throws when nothing was stored:
   * `log_corrupt` too. Without receipts it logs those that an older version stored.
   */
  append(finished: readonly FinishedExecution[], signer: NoteSigner): (GlasshouseError | null)[] {
    return asStoreError(STORING, () => {
      try {
        return this.#database
          .transaction(() => {
            const refusals = finished.map((one) => this.#refusalOf(one));
            this.log.extend(signer);
            return refusals;
          })
          .immediate();
      } catch (thrown) {
        this.log.rolledBack();
        throw thrown;
      }
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
   * One page, newest first: by the start of the execution, those of the same millisecond by the order in which they
   * were stored. Receipts that arrive meanwhile do not shift later pages. Throws `not_found` for an unknown `before`.
   */
  list({ limit, before }: ListOptions): ReceiptSummary[] {
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE) {
      throw new GlasshouseError('invalid_request', `limit must be an integer from 1 to ${MAX_PAGE}.`, {
        field: 'limit',
      });
    }
    return asStoreError('list receipts', () => {
      if (before === null) return this.#firstPage(limit);
      if (this.get(before) === null) {
        throw new GlasshouseError('not_found', 'No receipt is stored under the id in before.', {
          field: 'before',
        });
      }
      return this.#pageBefore(before, limit);
    });
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
    this.#database.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Null when it was stored; the transaction goes on without it otherwise, unless SQLite has given that up. */
  #refusalOf({ receipt, statement, outputs }: FinishedExecution): GlasshouseError | null {
    try {
      this.#database.transaction(() => {
        if (sha256(encodePayload(statement)) !== receipt.receiptId)
          throw new GlasshouseError('store_failed', 'The receipt was signed over another statement.');
        const sequence = this.#insertReceipt(receipt, statement);
        this.#insertStream(sequence, 'stdout', outputs.stdout);
        this.#insertStream(sequence, 'stderr', outputs.stderr);
        this.#insertFiles(sequence, statement, outputs);
      })();
      return null;
    } catch (thrown) {
      if (!this.#database.inTransaction) throw thrown;
      return storeError(STORING, thrown);
    }
  }

  #insertReceipt(receipt: SignedReceipt, { predicate }: Statement): number {
    const { request, outcome, execution } = predicate;
    const { lastInsertRowid } = this.#database
      .prepare(
        `INSERT INTO receipts (receipt_id, execution_id, key_id, timestamp, finished_at, kind, status, exit_code,
           signal, backend, isolation, envelope)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        receipt.receiptId,
        predicate.execution_id,
        receipt.keyId,
        predicate.timestamp,
        predicate.finished_at,
        request.kind,
        outcome.status,
        outcome.exit_code,
        outcome.signal,
        execution.backend,
        execution.isolation,
        receipt.envelopeBytes,
      );
    return Number(lastInsertRowid);
  }

  #insertStream(receipt: number, name: 'stdout' | 'stderr', content: Uint8Array | null): void {
    if (content === null) return;
    this.#database
      .prepare('INSERT INTO streams (receipt, name, content) VALUES (?, ?, ?)')
      .run(receipt, name, content);
  }

  #insertFiles(receipt: number, statement: Statement, outputs: StoredOutputs): void {
    if (outputs.files.length === 0) return;
    const records = new Map(
      statement.predicate.artifacts.files.map((record) => [JSON.stringify(record.path), record]),
    );
    for (const output of outputs.files) {
      const record = records.get(JSON.stringify(textFromBytes(output.path)));
      insertFile(this.#database, receipt, output, record);
    }
  }

  #findReceipt(column: 'receipt_id' | 'execution_id', value: string): StoredReceipt | null {
    return asStoreError('read a receipt', () => {
      const select = `SELECT ${SUMMARY_COLUMNS}, envelope FROM receipts WHERE ${column} = ?`;
      return this.#database.prepare<[string], StoredReceipt>(select).get(value) ?? null;
    });
  }

  #firstPage(limit: number): ReceiptSummary[] {
    return this.#database
      .prepare<[number], ReceiptSummary>(
        `SELECT ${SUMMARY_COLUMNS} FROM receipts ORDER BY timestamp DESC, sequence DESC LIMIT ?`,
      )
      .all(limit);
  }

  #pageBefore(before: string, limit: number): ReceiptSummary[] {
    return this.#database
      .prepare<[string, number], ReceiptSummary>(
        `SELECT ${SUMMARY_COLUMNS} FROM receipts
         WHERE (timestamp, sequence) < (SELECT timestamp, sequence FROM receipts WHERE receipt_id = ?)
         ORDER BY timestamp DESC, sequence DESC LIMIT ?`,
      )
      .all(before, limit);
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
