import { type ReceiptFilter, type ReceiptSummary } from '../receipts/store.js';
import { type Console } from './console.js';
import { type Services } from './services.js';
import { findReceipt } from './stored-receipt.js';

const SHORT_ID_LENGTH = 12;

export interface ListOptions {
  readonly limit: number;
  /** Only receipts that are older than this one; null: from the newest. */
  readonly before: string | null;
  readonly filter: ReceiptFilter;
  readonly json: boolean;
}

/** `glasshouse receipts list`: newest first. */
export async function listReceipts(
  services: Services,
  console: Console,
  { limit, before, filter, json }: ListOptions,
): Promise<number> {
  const store = await services.store();
  const from = before === null ? null : findReceipt(store, before).receiptId;
  const summaries = store.list({ limit, before: from }, filter);
  if (json) {
    console.json(summaries.map(summaryJson));
    return 0;
  }
  const rows = summaries.map((one) => [
    one.receiptId.slice(0, SHORT_ID_LENGTH),
    one.timestamp,
    one.status,
    one.signal ?? (one.exitCode === null ? '-' : String(one.exitCode)),
    one.kind,
    `${one.backend} (${one.isolation})`,
  ]);
  console.table(['RECEIPT', 'STARTED', 'STATUS', 'EXIT', 'KIND', 'BACKEND'], rows);
  const last = summaries.at(-1);
  if (summaries.length === limit && last !== undefined)
    console.note(`there may be more: --before ${last.receiptId.slice(0, SHORT_ID_LENGTH)}`);
  return 0;
}

function summaryJson(one: ReceiptSummary): object {
  return {
    receipt_id: one.receiptId,
    execution_id: one.executionId,
    timestamp: one.timestamp,
    kind: one.kind,
    status: one.status,
    exit_code: one.exitCode,
    signal: one.signal,
    backend: one.backend,
    isolation: one.isolation,
    outputs_dropped_at: one.outputsDroppedAt,
  };
}
