import type Database from 'better-sqlite3';

import { parseReceiptFile } from './bundle.js';
import { type Statement } from './receipt.js';
import { positionAt } from './store-filter.js';
import { POSITION_COUNTER_BITS } from './store-index-schema.js';
import { prepared } from './store-statements.js';
import { searchableWords, termOf } from './store-terms.js';
import { type StoredOutputs } from './store-types.js';

const COUNTER_MASK = (1n << POSITION_COUNTER_BITS) - 1n;
/** Receipts that are indexed in one transaction when an older store is opened. */
const BATCH = 1_000;

/** Makes a stored receipt findable, inside the caller's transaction. */
export function indexReceipt(
  database: Database.Database,
  sequence: number,
  statement: Statement,
  storedBytes: number,
): void {
  const { timestamp } = statement.predicate;
  indexTerms(database, placeReceipt(database, sequence, timestamp, storedBytes), statement);
}

/** The first half: gives a stored receipt its place in lists, which is returned. */
export function placeReceipt(
  database: Database.Database,
  sequence: number,
  timestamp: string,
  storedBytes: number,
): bigint {
  const position = freePosition(database, timestamp, sequence);
  prepared(database, 'INSERT INTO receipt_index (position, receipt, stored_bytes) VALUES (?, ?, ?)').run(
    position,
    sequence,
    storedBytes,
  );
  return position;
}

/**
 * The second half: what it is found by. Whoever stores several does this last, after all savepoints: each savepoint
 * makes FTS5 write what it has gathered, and merge it.
 */
export function indexTerms(database: Database.Database, position: bigint, { predicate }: Statement): void {
  prepared(
    database,
    'INSERT INTO receipt_terms (rowid, status, backend, code, text) VALUES (?, ?, ?, ?, ?)',
  ).run(
    position,
    termOf(predicate.outcome.status),
    termOf(predicate.execution.backend),
    predicate.request.code_sha256 ?? '',
    searchableWords(predicate),
  );
}

/** Bytes of outputs that are stored beside a receipt whose statement this is. */
export function storedBytesOf({ predicate }: Statement, { stdout, stderr, files }: StoredOutputs): number {
  const ofFiles = predicate.artifacts.files.map(({ sha256, size_bytes }) =>
    sha256 === null ? 0 : size_bytes,
  );
  return (
    (stdout?.length ?? 0) +
    (stderr?.length ?? 0) +
    (files.length === 0 ? 0 : ofFiles.reduce((sum, size) => sum + size, 0))
  );
}

/** Indexes what an older version stored. Another process may do the same: whoever comes second finds it done. */
export function indexOlderReceipts(database: Database.Database): void {
  const indexBatch = database.transaction((): boolean => {
    const rows = database.prepare<[number], OlderRow>(OLDER_RECEIPTS).all(BATCH);
    for (const { sequence, envelope, storedBytes } of rows)
      indexReceipt(database, sequence, statementOf(envelope), storedBytes);
    return rows.length === BATCH;
  });
  while (hasOlderReceipts(database) && indexBatch.immediate());
}

interface OlderRow {
  readonly sequence: number;
  readonly envelope: Buffer;
  readonly storedBytes: number;
}

const OLDER_RECEIPTS = `
SELECT sequence, envelope,
  (SELECT coalesce(sum(length(content)), 0) FROM streams WHERE streams.receipt = sequence)
    + (SELECT coalesce(sum(size_bytes), 0) FROM files WHERE files.receipt = sequence) AS storedBytes
FROM receipts WHERE sequence > (SELECT coalesce(max(receipt), 0) FROM receipt_index)
ORDER BY sequence LIMIT ?`;

function hasOlderReceipts(database: Database.Database): boolean {
  const newest =
    'SELECT 1 FROM receipts WHERE sequence > (SELECT coalesce(max(receipt), 0) FROM receipt_index) LIMIT 1';
  return database.prepare(newest).get() !== undefined;
}

/** What the store itself has signed and stored. */
function statementOf(envelope: Uint8Array): Statement {
  const { payload } = parseReceiptFile(envelope).envelope;
  return JSON.parse(Buffer.from(payload).toString('utf8')) as Statement;
}

/** The counter is the end of the sequence; should it be taken, which takes two million in a millisecond, the next. */
function freePosition(database: Database.Database, timestamp: string, sequence: number): bigint {
  const taken = prepared<[bigint]>(database, 'SELECT 1 FROM receipt_index WHERE position = ?');
  let position = positionAt(Date.parse(timestamp)) | (BigInt(sequence) & COUNTER_MASK);
  while (taken.get(position) !== undefined) position += 1n;
  return position;
}
