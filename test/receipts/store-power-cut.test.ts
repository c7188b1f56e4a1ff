/** What is on the disk when the power fails: any beginning of what was written to the write-ahead log. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';

import { auditLog } from '../../src/receipts/store-audit.js';
import { ReceiptWriter } from '../../src/receipts/store-writer.js';
import { ReceiptStore } from '../../src/receipts/store.js';
import { LOG_SIGNER, LOG_VERIFIER } from './sample-log.js';
import { openStore, storeReceipt } from './store-support.js';
import { temporaryDirectory } from './temporary-directory.js';

/** https://sqlite.org/fileformat.html, 4.1: header of the file, and of each frame before its page. */
const WAL_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const PAGE_BYTES = 4_096;
const FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES;
const RECEIPTS = 6;

interface Written {
  readonly directory: string;
  /** The database as it was before the first receipt, when the write-ahead log was empty. */
  readonly database: string;
  readonly wal: Buffer;
  /** Bytes of the write-ahead log when so many receipts had been answered. */
  readonly answeredAt: readonly number[];
  /** The signed head of each size; an empty text for the empty log. */
  readonly heads: readonly string[];
}

async function write(t: TestContext): Promise<Written> {
  const { store, directory } = openStore(t);
  store.close();
  const database = join(temporaryDirectory(t), 'database');
  copyFileSync(join(directory, 'glasshouse.db'), database);
  using again = ReceiptStore.open(directory);
  const walFile = join(directory, 'glasshouse.db-wal');
  const answeredAt = [0];
  const heads = [''];
  for (let number = 1; number <= RECEIPTS; number += 1) {
    await storeReceipt(again, number);
    answeredAt.push(statSync(walFile).size);
    heads.push(again.log.latest()?.note ?? '');
  }
  return { directory, database, wal: readFileSync(walFile), answeredAt, heads };
}

/**
 * Opens what the power cut left: that beginning of the write-ahead log, and the memory of the newest head that can have
 * been written by then.
 */
async function assertWhole(
  t: TestContext,
  { database, heads }: Written,
  wal: Uint8Array,
  answered: number,
): Promise<void> {
  const directory = temporaryDirectory(t);
  copyFileSync(database, join(directory, 'glasshouse.db'));
  writeFileSync(join(directory, 'glasshouse.db-wal'), wal);
  if (answered > 0) writeFileSync(join(directory, 'log-head'), heads[answered] ?? '');
  using store = ReceiptStore.open(directory);
  const latest = store.log.latest();
  const size = latest?.size ?? 0;
  assert.ok(size >= answered, `${answered} were answered, ${size} are there`);
  assert.equal(latest?.note ?? '', heads[size], 'there is one head of each size');
  assert.equal(store.list({ limit: 100, before: null }).length, size);
  assert.equal((await auditLog(store, [LOG_VERIFIER])).valid, true);
  new ReceiptWriter(store, LOG_SIGNER).assertWorks();
}

describe('a power cut', () => {
  it('before, in and after any page that is written leaves every answered receipt and one tree', async (t) => {
    const written = await write(t);
    const { wal, answeredAt } = written;
    assert.equal((wal.length - WAL_HEADER_BYTES) % FRAME_BYTES, 0);
    const states = new Set<number>();
    for (let frame = WAL_HEADER_BYTES; frame <= wal.length; frame += FRAME_BYTES)
      for (const length of [frame, frame + 7, frame + FRAME_HEADER_BYTES + 1_000]) {
        if (length > wal.length) continue;
        const answered = answeredAt.filter((end) => end <= length).length - 1;
        await assertWhole(t, written, wal.subarray(0, length), answered);
        states.add(answered);
      }
    assert.equal(states.size, RECEIPTS + 1, 'a cut before, between and after all of them');
  });

  it('that leaves a page half written, or rubbish behind the last, changes nothing that was answered', async (t) => {
    const written = await write(t);
    const { wal, answeredAt } = written;
    const end = answeredAt[3] ?? 0;
    for (const tail of [Buffer.alloc(FRAME_BYTES), Buffer.alloc(3 * FRAME_BYTES, 0xa5)])
      await assertWhole(t, written, Buffer.concat([wal.subarray(0, end), tail]), 3);
    for (let at = end + 5; at < (answeredAt[4] ?? 0); at += 997) {
      const torn = Uint8Array.from(wal.subarray(0, answeredAt[4]));
      torn[at] = (torn[at] ?? 0) ^ 0x10;
      await assertWhole(t, written, torn, 3);
    }
  });
});
