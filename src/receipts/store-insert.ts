import type Database from 'better-sqlite3';

import { type Statement } from './receipt.js';
import { type SignedReceipt } from './statement.js';
import { prepared } from './store-statements.js';

const INSERT = `INSERT INTO receipts (receipt_id, execution_id, key_id, timestamp, finished_at, kind, status, exit_code,
    signal, backend, isolation, envelope)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/** Adds a receipt and nothing that belongs to it; returns its number. To be called in a transaction. */
export function insertReceipt(
  database: Database.Database,
  receipt: SignedReceipt,
  { predicate }: Statement,
): number {
  const { request, outcome, execution } = predicate;
  const { lastInsertRowid } = prepared(database, INSERT).run(
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
