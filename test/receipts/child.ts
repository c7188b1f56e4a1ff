/**
 * Run as a process of its own by tests: `node child.js open-key-ring|open-store|write-receipts|write-at-once DIRECTORY [FIRST [COUNT]]`.
 * Prints one line for each thing that is durably done.
 */
import { thisProcess } from '../../src/base/process-identity.js';
import { KeyRing } from '../../src/receipts/key-ring.js';
import { ReceiptStore } from '../../src/receipts/store.js';
import { ReceiptWriter } from '../../src/receipts/store-writer.js';
import { LOG_SIGNER } from './sample-log.js';
import { executionId, sampleReceipt, utf8 } from './sample.js';

const [task, directory, first = '1', count = '1000000'] = process.argv.slice(2);
if (directory === undefined) throw new Error('no directory given');
if (task === 'open-key-ring') console.log(KeyRing.open(directory).signer.keyId);
else if (task === 'open-store') ReceiptStore.open(directory).close();
else if (task === 'write-receipts') await writeReceipts(directory, Number(first), Number(count));
else if (task === 'write-at-once') await writeAtOnce(directory, Number(first));
else throw new Error('unknown task');

async function writeReceipts(
  storeDirectory: string,
  firstNumber: number,
  receiptCount: number,
): Promise<void> {
  using store = ReceiptStore.open(storeDirectory);
  const writer = new ReceiptWriter(store, LOG_SIGNER);
  const owner = thisProcess();
  for (let number = firstNumber; number < firstNumber + receiptCount; number += 1) {
    const id = executionId(number);
    const { statement, receipt } = await sampleReceipt({ execution_id: id });
    const { timestamp } = statement.predicate;
    store.begin({ executionId: id, startedAt: timestamp, owner, request: '{}', execution: '{}' });
    const files = [{ path: utf8('out.txt'), chunks: [utf8('out')] }];
    await writer.write({ receipt, statement, outputs: { stdout: utf8('4\n'), stderr: utf8(''), files } });
    process.stdout.write(`${receipt.receiptId}\n`);
  }
}

/** Four at a time, without end. Prints the id of each receipt and the head under which it was logged. */
async function writeAtOnce(storeDirectory: string, firstNumber: number): Promise<void> {
  using store = ReceiptStore.open(storeDirectory);
  const writer = new ReceiptWriter(store, LOG_SIGNER);
  const owner = thisProcess();
  let number = firstNumber;
  const write = async (): Promise<never> => {
    for (;;) {
      const id = executionId(number++);
      store.begin({
        executionId: id,
        startedAt: '2025-01-02T03:04:05.678Z',
        owner,
        request: '{}',
        execution: '{}',
      });
      const { statement, receipt } = await sampleReceipt({ execution_id: id });
      await writer.write({ receipt, statement, outputs: { stdout: utf8('4\n'), stderr: null, files: [] } });
      const proof = store.proofOf(receipt.receiptId);
      process.stdout.write(`${JSON.stringify([receipt.receiptId, proof?.checkpoint])}\n`);
    }
  };
  await Promise.all([write(), write(), write(), write()]);
}
