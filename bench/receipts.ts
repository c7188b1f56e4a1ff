import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import Database from 'better-sqlite3';

import { thisProcess } from '../src/base/process-identity.js';
import { encodeBundle } from '../src/receipts/bundle.js';
import { buildStatement, signStatement } from '../src/receipts/statement.js';
import { ReceiptStore } from '../src/receipts/store.js';
import { ReceiptWriter } from '../src/receipts/store-writer.js';
import { verifyReceipt } from '../src/receipts/verify.js';
import { LOG_SIGNER, LOG_VERIFIER } from '../test/receipts/sample-log.js';
import { executionId, samplePredicate, sampleReceipt, SIGNER, VERIFIER } from '../test/receipts/sample.js';
import { median, quantile } from './measure.js';

const ROUNDS = 5;
const AT_ONCE = 32;
const VERIFICATIONS = 300;

/**
 * Receipts built, signed, logged and committed durably, one after the other and 32 at once, beside bare inserts of as
 * many bytes with synchronous=FULL, taken in turns on the same disk; then verification and the size of proofs.
 */
export async function benchReceipts(count: number): Promise<void> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'glasshouse-bench-'));
  try {
    using store = ReceiptStore.open(path.join(directory, 'data'));
    using bare = new BareTable(
      path.join(directory, 'bare.db'),
      (await sampleReceipt()).receipt.envelopeBytes,
    );
    const bench = new WriteBench(store, count);
    const rates: Record<'bare' | 'one' | 'many', number[]> = { bare: [], one: [], many: [] };
    for (let round = -1; round < ROUNDS; round += 1) {
      const measured = {
        bare: bare.insert(count),
        one: await bench.perSecond(1),
        many: await bench.perSecond(AT_ONCE),
      };
      // The first round warms everything up.
      if (round >= 0) for (const name of ['bare', 'one', 'many'] as const) rates[name].push(measured[name]);
    }
    console.log(
      `bare inserts: ${(await sampleReceipt()).receipt.envelopeBytes.length} bytes in one table without an index, one transaction and one ` +
        'sync each, one after the other; a receipt is rows in seven tables, their indexes, its signature and hashes',
    );
    printRate('bare insert, synchronous=FULL', rates.bare, rates.bare);
    printRate('receipt, one writer', rates.one, rates.bare);
    printRate(`receipt, ${AT_ONCE} at once`, rates.many, rates.bare);
    const ratio = median(rates.many) / median(rates.bare);
    const verdict = ratio >= 0.5 ? 'reached' : 'NOT reached';
    console.log(
      `goal: ${AT_ONCE} at once at least 0.5 times as many per second as bare inserts: ${ratio.toFixed(2)} times - ${verdict}`,
    );
    await measureVerification(store);
    console.log('');
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/**
 * The least that a durable record can cost here: one row of the size of an envelope, in a transaction of its own. SQLite
 * has one writer at a time: 32 at once would be the same transactions, one after the other.
 */
class BareTable implements Disposable {
  readonly #database: Database.Database;
  readonly #row: Uint8Array;

  constructor(file: string, row: Uint8Array) {
    this.#row = row;
    this.#database = new Database(file);
    this.#database.pragma('journal_mode = WAL');
    this.#database.pragma('synchronous = FULL');
    this.#database.exec('CREATE TABLE rows (number INTEGER PRIMARY KEY, content BLOB NOT NULL)');
  }

  /** Rows per second. */
  insert(count: number): number {
    const statement = this.#database.prepare('INSERT INTO rows (content) VALUES (?)');
    const begunAt = performance.now();
    for (let row = 0; row < count; row += 1) statement.run(this.#row);
    return (1000 * count) / (performance.now() - begunAt);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

class WriteBench {
  readonly #store: ReceiptStore;
  readonly #writer: ReceiptWriter;
  readonly #count: number;
  #next = 1;

  constructor(store: ReceiptStore, count: number) {
    this.#store = store;
    this.#writer = new ReceiptWriter(store, LOG_SIGNER);
    this.#count = count;
  }

  /** Receipts per second with so many writers; that the executions began was recorded before. */
  async perSecond(writers: number): Promise<number> {
    const ids = Array.from({ length: this.#count }, () => this.#begin());
    const begunAt = performance.now();
    await Promise.all(
      Array.from({ length: writers }, async () => {
        for (let id = ids.pop(); id !== undefined; id = ids.pop()) await this.#write(id);
      }),
    );
    return (1000 * this.#count) / (performance.now() - begunAt);
  }

  #begin(): string {
    const id = executionId(this.#next++);
    const startedAt = '2025-01-02T03:04:05.678Z';
    this.#store.begin({ executionId: id, startedAt, owner: thisProcess(), request: '{}', execution: '{}' });
    return id;
  }

  async #write(id: string): Promise<void> {
    const statement = buildStatement(samplePredicate({ execution_id: id }));
    const receipt = await signStatement(statement, SIGNER);
    const outputs = { stdout: Buffer.from('4\n'), stderr: new Uint8Array(), files: [] };
    await this.#writer.write({ receipt, statement, outputs });
  }
}

async function measureVerification(store: ReceiptStore): Promise<void> {
  const summaries = store.list({ limit: VERIFICATIONS, before: null });
  const times: number[] = [];
  const proofBytes: number[] = [];
  for (const { receiptId } of summaries) {
    const [stored, proof] = [store.get(receiptId), store.proofOf(receiptId)];
    if (stored === null || proof === null) throw new Error(`no proof of ${receiptId}`);
    const bundle = encodeBundle({ receiptId, envelopeBytes: stored.envelope }, SIGNER.publicKeyPem, proof);
    proofBytes.push(logMemberBytes(bundle));
    const begunAt = performance.now();
    const report = await verifyReceipt(bundle, { trustedKeys: [VERIFIER], logKeys: [LOG_VERIFIER] });
    times.push(performance.now() - begunAt);
    if (!report.valid) throw new Error(`${receiptId} does not verify`);
  }
  const size = store.log.latest()?.size ?? 0;
  console.log(`verify: p50 ${median(times).toFixed(2)} ms, p95 ${quantile(times, 0.95).toFixed(2)} ms`);
  console.log(
    `proof in a log of ${size} entries: p50 ${median(proofBytes)} bytes, max ${Math.max(...proofBytes)} bytes`,
  );
}

/** What a bundle is larger by because of the log. */
function logMemberBytes(bundle: Uint8Array): number {
  const { log } = JSON.parse(Buffer.from(bundle).toString()) as { log: unknown };
  return Buffer.byteLength(`"log":${JSON.stringify(log)},`);
}

function printRate(name: string, rates: readonly number[], reference: readonly number[]): void {
  const ratio = median(rates) / median(reference);
  const range = `${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)}`;
  console.log(
    `${name.padEnd(32)} ${median(rates).toFixed(0).padStart(6)} per second (${range}): ${ratio.toFixed(2)} times the rate of bare inserts`,
  );
}
