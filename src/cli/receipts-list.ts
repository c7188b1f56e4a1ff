import { type ListedCommand, type ReceiptFilter, type ReceiptSummary } from '../receipts/store.js';
import { type Console } from './console.js';
import { type Services } from './services.js';
import { findReceipt } from './stored-receipt.js';
import { commandForPeople } from './text-for-people.js';

const SHORT_ID_LENGTH = 12;
/** Characters of a command that are shown. */
const LONGEST_COMMAND = 48;
const CUT = '...';
const HEADINGS = ['RECEIPT', 'STARTED', 'STATUS', 'EXIT', 'KIND', 'BACKEND'];

export interface ListOptions {
  readonly limit: number;
  /** Only receipts that are older than this one; null: from the newest. */
  readonly before: string | null;
  readonly filter: ReceiptFilter;
  /** Whether to say what was run, for which a line of 80 characters has no room. */
  readonly wide: boolean;
  readonly json: boolean;
}

/** `glasshouse receipts list`: newest first. */
export async function listReceipts(
  services: Services,
  console: Console,
  { limit, before, filter, wide, json }: ListOptions,
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
    ...(wide ? [shortened(console.printable(whatWasRun(store.commandOf(one.executionId))))] : []),
  ]);
  console.table([...HEADINGS, ...(wide ? ['COMMAND'] : [])], rows);
  const last = summaries.at(-1);
  if (summaries.length === limit && last !== undefined)
    console.note(`there may be more: --before ${last.receiptId.slice(0, SHORT_ID_LENGTH)}`);
  return 0;
}

/** A Python program is named by the beginning of its sha256. */
function whatWasRun(command: ListedCommand | null): string {
  if (command === null) return '-';
  const { codeSha256, words } = command;
  const program = codeSha256 === null ? [] : [`python:${codeSha256.slice(0, SHORT_ID_LENGTH)}`];
  return commandForPeople([...program, ...words]);
}

/** By characters, so that none is cut in two. */
function shortened(text: string): string {
  const characters = Array.from(text);
  if (characters.length <= LONGEST_COMMAND) return text;
  return `${characters.slice(0, LONGEST_COMMAND - CUT.length).join('')}${CUT}`;
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
