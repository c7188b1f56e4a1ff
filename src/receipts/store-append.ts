import type Database from 'better-sqlite3';

import { GlasshouseError } from '../base/errors.js';
import { type Statement } from './receipt.js';
import { storeError } from './store-file.js';
import { insertFile } from './store-files.js';
import { indexTerms, placeReceipt, storedBytesOf } from './store-index.js';
import { insertReceipt } from './store-insert.js';
import { type PendingReceipt } from './store-log.js';
import { prepared } from './store-statements.js';
import { type FinishedExecution, type StoredOutputs } from './store-types.js';
import { textFromBytes } from './text.js';

export const STORING = 'store the receipt';
/** Outputs up to which a receipt does not get a savepoint of its own: the larger they are, the likelier there is no room. */
const SMALL_BYTES = 1024 * 1024;

export interface Appended {
  /** For each receipt what refused it; null: nothing. */
  readonly refusals: (GlasshouseError | null)[];
  /** Those that are stored, in their order. */
  readonly stored: PendingReceipt[];
}

/** A receipt that is stored and cannot be found by its words yet. */
interface Placed {
  readonly pending: PendingReceipt;
  readonly position: bigint;
  readonly statement: Statement;
}

/**
 * Stores receipts with their outputs, in the caller's transaction, all but their leaves in the log. What refuses one
 * keeps out nothing else. Throws what ends the transaction.
 */
export function appendFinished(
  database: Database.Database,
  finished: readonly FinishedExecution[],
): Appended {
  const outcomes = finished.map((one) => placeFinished(database, one));
  const placed = outcomes.filter((outcome): outcome is Placed => !(outcome instanceof GlasshouseError));
  // Last, after all savepoints: each makes FTS5 write what it has gathered, and merge it.
  for (const { position, statement } of placed) indexTerms(database, position, statement);
  return {
    refusals: outcomes.map((outcome) => (outcome instanceof GlasshouseError ? outcome : null)),
    stored: placed.map(({ pending }) => pending),
  };
}

function placeFinished(database: Database.Database, one: FinishedExecution): Placed | GlasshouseError {
  const { receipt, statement, outputs } = one;
  const sequence = canFailHalfWay(outputs)
    ? attempt(
        database,
        database.transaction(() => insertWhole(database, one)),
      )
    : insertSmall(database, one);
  if (sequence instanceof GlasshouseError) return sequence;
  const { timestamp, finished_at: finishedAt } = statement.predicate;
  return {
    pending: { sequence, envelope: receipt.envelopeBytes, finishedAt },
    position: placeReceipt(database, sequence, timestamp, storedBytesOf(statement, outputs)),
    statement,
  };
}

function canFailHalfWay({ stdout, stderr, files }: StoredOutputs): boolean {
  return files.length > 0 || (stdout?.length ?? 0) + (stderr?.length ?? 0) > SMALL_BYTES;
}

/**
 * Without a savepoint, which costs as much as the rows: what a receipt can be refused for shows in its own row, and a
 * statement that fails is undone by SQLite.
 */
function insertSmall(database: Database.Database, one: FinishedExecution): number | GlasshouseError {
  const sequence = attempt(database, () => insertOwnRow(database, one));
  if (typeof sequence === 'number') insertStreams(database, sequence, one.outputs);
  return sequence;
}

/** For a transaction of its own. */
function insertWhole(database: Database.Database, one: FinishedExecution): number {
  const sequence = insertOwnRow(database, one);
  insertStreams(database, sequence, one.outputs);
  insertFiles(database, sequence, one);
  return sequence;
}

/** What refuses it; throws all the same when SQLite has given up the whole transaction. */
function attempt<T>(database: Database.Database, action: () => T): T | GlasshouseError {
  try {
    return action();
  } catch (thrown) {
    if (!database.inTransaction) throw thrown;
    return storeError(STORING, thrown);
  }
}

function insertOwnRow(database: Database.Database, { receipt, statement }: FinishedExecution): number {
  if (!receipt.isOver(statement))
    throw new GlasshouseError('store_failed', 'The receipt was signed over another statement.');
  return insertReceipt(database, receipt, statement);
}

function insertStreams(
  database: Database.Database,
  receipt: number,
  { stdout, stderr }: StoredOutputs,
): void {
  const insert = prepared(database, 'INSERT INTO streams (receipt, name, content) VALUES (?, ?, ?)');
  if (stdout !== null) insert.run(receipt, 'stdout', stdout);
  if (stderr !== null) insert.run(receipt, 'stderr', stderr);
}

function insertFiles(
  database: Database.Database,
  receipt: number,
  { statement, outputs }: FinishedExecution,
): void {
  const records = new Map(
    statement.predicate.artifacts.files.map((record) => [JSON.stringify(record.path), record]),
  );
  for (const output of outputs.files) {
    const record = records.get(JSON.stringify(textFromBytes(output.path)));
    insertFile(database, receipt, output, record);
  }
}
