import type Database from 'better-sqlite3';

import { type PositionRange, positionsOf, type ReceiptFilter, termsQuery } from './store-filter.js';
import { type ReceiptSummary, type StoredReceipt } from './store-types.js';

export const SUMMARY_COLUMNS = `receipts.receipt_id AS receiptId, receipts.execution_id AS executionId,
  receipts.key_id AS keyId, receipts.timestamp AS timestamp, receipts.finished_at AS finishedAt,
  receipts.kind AS kind, receipts.status AS status, receipts.exit_code AS exitCode, receipts.signal AS signal,
  receipts.backend AS backend, receipts.isolation AS isolation,
  receipt_index.outputs_dropped_at AS outputsDroppedAt`;

/** How many, from where on, and in which direction. */
interface Page {
  readonly limit: number;
  /** A position to begin after, in the direction of the list; null: at its beginning. */
  readonly after: bigint | null;
}

/** Newest first. */
export function selectSummaries(
  database: Database.Database,
  filter: ReceiptFilter,
  { limit, after }: Page,
): ReceiptSummary[] {
  const { from, to } = positionsOf(filter);
  const range = { from, to: after === null || after > to ? to : after };
  return select<ReceiptSummary>(database, filter, range, SUMMARY_COLUMNS, 'DESC', limit);
}

/** Oldest first, whole receipts. */
export function selectReceipts(
  database: Database.Database,
  filter: ReceiptFilter,
  { limit, after }: Page,
): StoredReceipt[] {
  const { from, to } = positionsOf(filter);
  const range = { from: after === null || after < from ? from : after + 1n, to };
  return select<StoredReceipt>(database, filter, range, `${SUMMARY_COLUMNS}, envelope`, 'ASC', limit);
}

/** Null for an unknown receipt. */
export function positionOfReceipt(database: Database.Database, receiptId: string): bigint | null {
  const position = database
    .prepare<[string], bigint>(
      `SELECT position FROM receipt_index JOIN receipts ON receipts.sequence = receipt_index.receipt
       WHERE receipt_id = ?`,
    )
    .safeIntegers()
    .pluck()
    .get(receiptId);
  return position ?? null;
}

/** The cross joins keep SQLite from choosing another order than that of the list: nothing is ever sorted. */
function select<Row>(
  database: Database.Database,
  filter: ReceiptFilter,
  { from, to }: PositionRange,
  columns: string,
  direction: 'ASC' | 'DESC',
  limit: number,
): Row[] {
  const query = termsQuery(filter);
  const receipts = 'CROSS JOIN receipts ON receipts.sequence = receipt_index.receipt';
  if (query === null) {
    return database
      .prepare<[bigint, bigint, number], Row>(
        `SELECT ${columns} FROM receipt_index ${receipts}
         WHERE position >= ? AND position < ? ORDER BY position ${direction} LIMIT ?`,
      )
      .all(from, to, limit);
  }
  return database
    .prepare<[string, bigint, bigint, number], Row>(
      `SELECT ${columns} FROM receipt_terms
       CROSS JOIN receipt_index ON receipt_index.position = receipt_terms.rowid ${receipts}
       WHERE receipt_terms MATCH ? AND receipt_terms.rowid >= ? AND receipt_terms.rowid < ?
       ORDER BY receipt_terms.rowid ${direction} LIMIT ?`,
    )
    .all(query, from, to, limit);
}
