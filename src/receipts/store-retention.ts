import type Database from 'better-sqlite3';

import { positionAt } from './store-filter.js';

/** What is kept of outputs; null: no bound. */
export interface RetentionPolicy {
  /** Outputs of executions that started before this time are dropped; milliseconds since 1970. */
  readonly olderThanMs: number | null;
  /** The newest outputs of so many bytes, all together, stay. */
  readonly maxBytes: number | null;
}

export interface DroppedOutputs {
  readonly receipts: number;
  readonly bytes: number;
}

/** Receipts whose outputs go in one transaction, and bytes: others who write do not wait longer than for these. */
const BATCH_RECEIPTS = 100;
const BATCH_BYTES = 32 * 1024 * 1024;

interface Candidate {
  readonly position: bigint;
  readonly receipt: bigint;
  readonly storedBytes: bigint;
}

/**
 * Drops the oldest outputs that the policy does not keep, a batch of them; nothing dropped means that nothing is left
 * to drop. Receipts stay. What was dropped is overwritten with zeros in the file (PRAGMA secure_delete).
 */
export function dropOldestOutputs(
  database: Database.Database,
  policy: RetentionPolicy,
  droppedAt: string,
): DroppedOutputs {
  database.pragma('secure_delete = ON');
  return database
    .transaction(() => {
      const dropped = chooseCandidates(database, policy);
      for (const { position, receipt } of dropped) {
        database.prepare('DELETE FROM streams WHERE receipt = ?').run(receipt);
        database.prepare('DELETE FROM files WHERE receipt = ?').run(receipt);
        database
          .prepare('UPDATE receipt_index SET outputs_dropped_at = ? WHERE position = ?')
          .run(droppedAt, position);
      }
      const bytes = dropped.reduce((sum, { storedBytes }) => sum + Number(storedBytes), 0);
      return { receipts: dropped.length, bytes };
    })
    .immediate();
}

/** What the policy would drop, all of it, without doing it. */
export function outputsToDrop(database: Database.Database, policy: RetentionPolicy): DroppedOutputs {
  let receipts = 0;
  let bytes = 0;
  const total = storedOutputBytes(database);
  for (const candidate of oldestOutputs(database, -1)) {
    if (!exceeds(policy, candidate, total - bytes)) break;
    receipts += 1;
    bytes += Number(candidate.storedBytes);
  }
  return { receipts, bytes };
}

/** Bytes of all outputs that are stored. */
export function storedOutputBytes(database: Database.Database): number {
  const sum = `SELECT coalesce(sum(stored_bytes), 0) FROM receipt_index
    WHERE stored_bytes > 0 AND outputs_dropped_at IS NULL`;
  return database.prepare<[], number>(sum).pluck().get() ?? 0;
}

function chooseCandidates(database: Database.Database, policy: RetentionPolicy): Candidate[] {
  const total = policy.maxBytes === null ? 0 : storedOutputBytes(database);
  const chosen: Candidate[] = [];
  let bytes = 0;
  for (const candidate of oldestOutputs(database, BATCH_RECEIPTS)) {
    if (bytes >= BATCH_BYTES || !exceeds(policy, candidate, total - bytes)) break;
    chosen.push(candidate);
    bytes += Number(candidate.storedBytes);
  }
  return chosen;
}

/** @param limit -1: all. */
function oldestOutputs(database: Database.Database, limit: number): Iterable<Candidate> {
  return database
    .prepare<[number], Candidate>(
      `SELECT position, receipt, stored_bytes AS storedBytes FROM receipt_index
       WHERE stored_bytes > 0 AND outputs_dropped_at IS NULL ORDER BY position LIMIT ?`,
    )
    .safeIntegers()
    .all(limit);
}

function exceeds(policy: RetentionPolicy, { position }: Candidate, totalBytes: number): boolean {
  const tooOld = policy.olderThanMs !== null && position < positionAt(policy.olderThanMs);
  return tooOld || (policy.maxBytes !== null && totalBytes > policy.maxBytes);
}
