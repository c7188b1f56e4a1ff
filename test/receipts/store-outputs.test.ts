import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sha256, Sha256 } from '../../src/receipts/crypto.js';
import { utf8 } from './sample.js';
import {
  NO_OUTPUTS,
  MIB,
  collectGarbage,
  openStore,
  openRaw,
  storeReceipt,
  withFile,
} from './store-support.js';

describe('ReceiptStore: output files', () => {
  it('are found by the raw bytes of their path, empty ones too', async (t) => {
    const { store } = openStore(t);
    const path = Uint8Array.of(0xff);
    const files = [
      { path: utf8('out.txt'), chunks: [utf8('o'), new Uint8Array(), utf8('ut')] },
      { path, chunks: [] },
    ];
    const { receipt } = await storeReceipt(store, 1, {}, { ...NO_OUTPUTS, files });
    const id = receipt.receiptId;
    assert.deepEqual(store.fileEntry(id, utf8('out.txt')), {
      path: utf8('out.txt'),
      sizeBytes: 3,
      sha256: sha256(utf8('out')),
    });
    assert.equal(Buffer.concat([...store.readFile(id, utf8('out.txt'))]).toString(), 'out');
    assert.deepEqual([...store.readFile(id, path)], []);
    assert.equal(store.fileEntry(id, utf8('link')), null);
    assert.equal(store.fileEntry('0'.repeat(64), utf8('out.txt')), null);
    assert.throws(() => [...store.readFile(id, utf8('link'))], { code: 'not_found' });
  });

  it('of 64 MiB go in and out in pieces', async (t) => {
    const { store } = openStore(t);
    const piece = Buffer.alloc(100_000); // does not divide the size of a stored chunk
    let largestHeld = 0;
    let measured = 0;
    const measure = (): void => {
      measured += 1;
      if (measured % 16 !== 0) return;
      collectGarbage();
      largestHeld = Math.max(largestHeld, process.memoryUsage().arrayBuffers);
    };
    function* pieces(): Generator<Uint8Array> {
      for (let left = 64 * MIB; left > 0; left -= piece.length) {
        piece.fill(left & 0xff);
        measure();
        yield piece.subarray(0, left);
      }
    }
    const digest = new Sha256();
    for (const part of pieces()) digest.update(part);
    const content = { sizeBytes: 64 * MIB, sha256: digest.digest() };

    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    largestHeld = 0;
    const path = utf8('large');
    const files = [{ path, chunks: pieces() }];
    const { receipt } = await storeReceipt(store, 1, withFile(path, content), { ...NO_OUTPUTS, files });
    const read = new Sha256();
    for (const chunk of store.readFile(receipt.receiptId, path)) {
      assert.ok(chunk.length <= 256 * 1024);
      read.update(chunk);
      measure();
    }
    assert.equal(read.digest(), content.sha256);
    assert.ok(largestHeld > 0 && largestHeld - before < 8 * MIB, `${largestHeld - before} bytes were held`);
  });

  it('do not keep the connection busy while they are read', async (t) => {
    const { store } = openStore(t);
    const path = utf8('large');
    const bytes = Buffer.alloc(600_000, 'x');
    const content = { sizeBytes: bytes.length, sha256: sha256(bytes) };
    const files = [{ path, chunks: [bytes] }];
    const { receipt } = await storeReceipt(store, 1, withFile(path, content), { ...NO_OUTPUTS, files });
    const reading = store.readFile(receipt.receiptId, path);
    const first = reading.next();
    await storeReceipt(store, 2);
    const rest = [...reading];
    assert.ok(first.done !== true);
    assert.deepEqual(Buffer.concat([first.value, ...rest]), bytes);
  });

  it('that were deleted say so, and leave the receipt alone', async (t) => {
    const { store, directory } = openStore(t);
    const files = [{ path: utf8('out.txt'), chunks: [utf8('out')] }];
    const { receipt } = await storeReceipt(store, 1, {}, { stdout: utf8('4\n'), stderr: null, files });
    const reading = store.readFile(receipt.receiptId, utf8('out.txt'));
    const raw = openRaw(t, directory);
    raw.pragma('foreign_keys = ON');
    raw.exec('DELETE FROM files; DELETE FROM streams');
    assert.equal(raw.prepare('SELECT count(*) FROM file_chunks').pluck().get(), 0);
    assert.throws(() => reading.next(), { code: 'not_found' });
    assert.equal(store.readStdout(receipt.receiptId), null);
    assert.notEqual(store.get(receipt.receiptId), null);
  });
});
