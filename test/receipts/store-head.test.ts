import assert from 'node:assert/strict';
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import { generatePrivateKeyPem } from '../../src/receipts/crypto.js';
import { NoteSigner } from '../../src/receipts/signed-note.js';
import { auditLog } from '../../src/receipts/store-audit.js';
import { HeadMemory } from '../../src/receipts/store-head.js';
import { ReceiptStore } from '../../src/receipts/store.js';
import { LOG_SIGNER, LOG_VERIFIER, MemoryLog } from './sample-log.js';
import { openStore, storeReceipt } from './store-support.js';
import { temporaryDirectory } from './temporary-directory.js';

const sizeIn = (memory: Pick<HeadMemory, 'recall'>): number | undefined =>
  memory.recall()?.checkpoint.head.size;

describe('the memory of the newest head', () => {
  it('has the head of the last commit, for the owner alone', async (t) => {
    const { store, directory } = openStore(t);
    assert.equal(store.log.recall(), null);
    for (let number = 1; number <= 12; number += 1) {
      await storeReceipt(store, number);
      assert.equal(sizeIn(store.log), number);
    }
    const { file } = new HeadMemory(directory);
    assert.equal(readFileSync(file, 'utf8'), store.log.latest()?.note);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  it('is that of a shorter head after that of a longer one', (t) => {
    using memory = new HeadMemory(temporaryDirectory(t));
    const log = new MemoryLog().fill(10);
    for (const size of [10, 9]) {
      memory.remember(log.checkpoint(size));
      assert.equal(readFileSync(memory.file, 'utf8'), log.checkpoint(size));
      assert.equal(sizeIn(memory), size);
    }
  });

  it('counts for nothing when it was cut off, and is whole again after the next commit', async (t) => {
    const { store, directory } = openStore(t);
    await storeReceipt(store, 1);
    const { file } = new HeadMemory(directory);
    for (let length = statSync(file).size - 1; length >= 0; length -= 1) {
      truncateSync(file, length);
      assert.equal(store.log.recall(), null);
    }
    using other = ReceiptStore.open(directory);
    await storeReceipt(other, 2);
    assert.equal(sizeIn(store.log), 2);
  });

  it('counts for nothing when somebody else wrote it, in the name of our log or of another', async (t) => {
    const { store, directory } = openStore(t);
    await storeReceipt(store, 1);
    const { file } = new HeadMemory(directory);
    const impostor = new NoteSigner(generatePrivateKeyPem(), () => LOG_SIGNER.name);
    const stranger = new NoteSigner(generatePrivateKeyPem(), () => 'glasshouse-log/stranger');
    for (const [index, signer] of [impostor, stranger].entries()) {
      writeFileSync(file, new MemoryLog(signer).fill(99).checkpoint());
      using other = ReceiptStore.open(directory);
      const { checks, valid } = await auditLog(other, [LOG_VERIFIER]);
      assert.equal(valid, true);
      assert.ok(checks.some(({ name, outcome }) => name === 'log_consistency' && outcome === 'not_checked'));
      await storeReceipt(other, 2 + index);
      assert.equal(sizeIn(other.log), 2 + index);
    }
  });

  it('may be older than the database: another process was faster, or it was killed', async (t) => {
    const { store, directory } = openStore(t);
    await storeReceipt(store, 1);
    const { file } = new HeadMemory(directory);
    const old = readFileSync(file);
    await storeReceipt(store, 2);
    writeFileSync(file, old);
    using other = ReceiptStore.open(directory);
    await storeReceipt(other, 3);
    assert.equal(sizeIn(store.log), 3);
  });
});
