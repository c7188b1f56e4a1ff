import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';

import { parseCheckpoint } from '../../src/receipts/checkpoint.js';
import { auditLog } from '../../src/receipts/store-audit.js';
import { ReceiptStore } from '../../src/receipts/store.js';
import { startChild } from './run-child.js';
import { LOG_VERIFIER } from './sample-log.js';
import { utf8 } from './sample.js';
import { openRaw, storeReceipt } from './store-support.js';
import { temporaryDirectory } from './temporary-directory.js';

const ROUNDS = 6;
const WRITERS = 2;
/** Numbers of executions that one writer may use up. */
const ROOM = 100_000;

/** A receipt that was answered, with the head that it was answered with. */
interface Answered {
  readonly receiptId: string;
  readonly checkpoint: string;
}

/** Lets a writer answer so many receipts, then kills it; what it answered to the end counts. */
async function killedAfter(directory: string, first: number, count: number): Promise<Answered[]> {
  const child = startChild('write-at-once', directory, String(first));
  const exited = once(child, 'exit');
  const answered: Answered[] = [];
  for await (const line of createInterface(child.stdout)) {
    const [receiptId, checkpoint] = JSON.parse(line) as [string, string];
    answered.push({ receiptId, checkpoint });
    if (answered.length === count) child.kill('SIGKILL');
  }
  await exited;
  assert.equal(child.signalCode, 'SIGKILL');
  return answered;
}

describe('writers that are killed', () => {
  it('lose nothing that was answered, and never sign two trees of one size', async (t) => {
    const directory = join(temporaryDirectory(t), 'data');
    ReceiptStore.open(directory).close();
    const answered: Answered[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const writers = Array.from({ length: WRITERS }, (_, writer) =>
        killedAfter(directory, (round * WRITERS + writer + 1) * ROOM, 3 + 7 * round + writer),
      );
      answered.push(...(await Promise.all(writers)).flat());

      using store = ReceiptStore.open(directory);
      const { valid, checks } = await auditLog(store, [LOG_VERIFIER]);
      assert.ok(valid, JSON.stringify(checks));
      for (const { receiptId, checkpoint } of answered) {
        // The same bytes as were answered: its head is still the one that was signed for that size.
        assert.equal(store.proofOf(receiptId)?.checkpoint, checkpoint);
      }
    }
    const roots = new Map<number, string>();
    for (const { checkpoint } of answered) {
      const { size, root } = parseCheckpoint(utf8(checkpoint)).head;
      const known = roots.get(size);
      assert.ok(known === undefined || known === Buffer.from(root).toString('hex'));
      roots.set(size, Buffer.from(root).toString('hex'));
    }
    assert.ok(answered.length > ROUNDS * WRITERS && roots.size > ROUNDS);
    using store = ReceiptStore.open(directory);
    const raw = openRaw(t, directory);
    assert.equal(raw.pragma('integrity_check', { simple: true }), 'ok');
    const count = (table: string): number =>
      Number(raw.prepare(`SELECT count(*) FROM ${table}`).pluck().get());
    assert.equal(count('log_entries'), count('receipts'));
    assert.equal(count('executions'), count('receipts') + store.unfinished().length);
    await storeReceipt(store, 0xffff);
  });
});
