import { GlasshouseError } from '../base/errors.js';
import { parseReceiptFile } from '../receipts/bundle.js';
import { type Statement } from '../receipts/receipt.js';
import { type ReceiptStore, type StoredReceipt } from '../receipts/store.js';

/** A receipt by its id, the beginning of its id, or `latest`. Throws `not_found`. */
export function findReceipt(store: ReceiptStore, id: string): StoredReceipt {
  const full = id === 'latest' ? store.list({ limit: 1, before: null })[0]?.receiptId : idOf(store, id);
  const receipt = full === undefined ? null : store.get(full);
  if (receipt === null) throw new GlasshouseError('not_found', `There is no receipt ${JSON.stringify(id)}.`);
  return receipt;
}

/** What was signed. The store keeps what it has signed itself; `glasshouse verify` checks it. */
export function statementOf({ envelope }: StoredReceipt): Statement {
  return JSON.parse(Buffer.from(payloadOf(envelope)).toString('utf8')) as Statement;
}

export function payloadOf(envelope: Uint8Array): Uint8Array {
  return parseReceiptFile(envelope).envelope.payload;
}

function idOf(store: ReceiptStore, beginning: string): string | undefined {
  const [first, second] = store.idsBeginningWith(beginning, 2);
  if (second !== undefined)
    throw new GlasshouseError(
      'not_found',
      `More than one receipt has an id that begins with ${JSON.stringify(beginning)}.`,
    );
  return first;
}
