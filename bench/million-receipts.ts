import { createHash } from 'node:crypto';
import path from 'node:path';

import Database from 'better-sqlite3';

import { thisProcess } from '../src/base/process-identity.js';
import { uuidv7 } from '../src/base/uuid.js';
import { KeyRing } from '../src/receipts/key-ring.js';
import { EXECUTION_STATUSES, type Predicate } from '../src/receipts/receipt.js';
import { type Signer } from '../src/receipts/signer.js';
import { buildStatement, type SignedReceipt, signStatement } from '../src/receipts/statement.js';
import { indexReceipt } from '../src/receipts/store-index.js';
import { insertReceipt } from '../src/receipts/store-insert.js';
import { ReceiptWriter } from '../src/receipts/store-writer.js';
import { ReceiptStore } from '../src/receipts/store.js';

const BATCH = 2_000;
const FIRST_MS = Date.parse('2025-01-01T00:00:00.000Z');
const INTERVAL_MS = 10_000;
const WORDS = ['alpha', 'bravo', 'charlie', 'delta', 'echo', 'foxtrot', 'golf', 'hotel', 'india', 'juliet'];

/** When execution number `number` started. */
export function startOf(number: number): string {
  return new Date(FIRST_MS + number * INTERVAL_MS).toISOString();
}

/** sha256 of the code of execution number `number`: 1,000 programs take turns. */
export function codeOf(number: number): string {
  return createHash('sha256')
    .update(`print(${number % 1_000})`)
    .digest('hex');
}

/**
 * Fills a new store with `count` receipts. Each is built, checked, signed, indexed and logged as every receipt is;
 * what is left out is that each commits by itself: they are inserted by the thousand and logged under one head.
 */
export async function fillStore(dataDirectory: string, count: number): Promise<void> {
  ReceiptStore.open(dataDirectory).close();
  const { signer, logSigner } = KeyRing.open(path.join(dataDirectory, 'keys'));
  const database = new Database(path.join(dataDirectory, 'glasshouse.db'));
  try {
    database.pragma('synchronous = OFF');
    database.pragma('cache_size = -200000');
    for (let first = 0; first < count; first += BATCH) {
      const numbers = Array.from({ length: Math.min(BATCH, count - first) }, (_, index) => first + index);
      const made = await Promise.all(numbers.map((number) => make(number, signer)));
      database.transaction(() => {
        for (const one of made) insert(database, one);
      })();
      if ((first / BATCH) % 50 === 49) console.log(`${first + numbers.length} of ${count} receipts`);
    }
    database.pragma('wal_checkpoint(TRUNCATE)');
  } finally {
    database.close();
  }
  using store = ReceiptStore.open(dataDirectory);
  new ReceiptWriter(store, logSigner).logOlderReceipts();
}

interface Made {
  readonly predicate: Predicate;
  readonly receipt: SignedReceipt;
}

async function make(number: number, signer: Signer): Promise<Made> {
  const predicate = predicateOf(number);
  return { predicate, receipt: await signStatement(buildStatement(predicate), signer) };
}

function insert(database: Database.Database, { predicate, receipt }: Made): void {
  const { pid, startTicks, bootId } = thisProcess();
  database
    .prepare('INSERT INTO executions VALUES (?, ?, ?, ?, ?, ?, ?)')
    .run(predicate.execution_id, predicate.timestamp, pid, startTicks, bootId, '{}', '{}');
  const statement = buildStatement(predicate);
  indexReceipt(database, insertReceipt(database, receipt, statement), statement, 0);
}

/** Nine in ten are ok and from `qemu`; `oom` is one in ten thousand; each has a word of its own and two of ten. */
function predicateOf(number: number): Predicate {
  const status = number % 10_000 === 0 ? 'oom' : number % 10 === 0 ? 'error' : EXECUTION_STATUSES[0];
  const exitCode = status === 'ok' ? 0 : status === 'error' ? 1 : null;
  const word = (divisor: number): string => WORDS[Math.floor(number / divisor) % WORDS.length] ?? '';
  const isCommand = number % 10 === 1;
  return {
    version: 1,
    execution_id: uuidv7(FIRST_MS + number * INTERVAL_MS),
    provenance: isCommand ? 'host' : 'host+guest',
    timestamp: startOf(number),
    finished_at: startOf(number + 1),
    request: {
      kind: isCommand ? 'command' : 'python',
      code_sha256: isCommand ? null : codeOf(number),
      argv: ['job', `--name=${word(1)}-${word(10)}`, `unique${number}`],
      env_names: ['LANG', 'PATH'],
      stdin_sha256: null,
      input_files: [],
      timeout_ms: 10_000,
      limits: null,
    },
    outcome: { status, exit_code: exitCode, signal: status === 'oom' ? 'SIGKILL' : null, error: null },
    timing: { queue_ms: 0, boot_ms: 2_000, run_ms: 100, boot_stages: { kernel_us: 1_500_000 } },
    resources: null,
    execution: {
      backend: isCommand ? 'process' : 'qemu',
      isolation: isCommand ? 'none' : 'vm-tcg',
      start: 'cold',
      snapshot: null,
      vmm_version: isCommand ? null : 'QEMU 7.2.22',
      image: null,
      notes: [],
    },
    process_tree: [],
    filesystem: null,
    network: null,
    syscalls: null,
    observation: { level: 'none', reason: 'observation was not requested', events: 0, dropped: {} },
    environment: {
      glasshouse_version: '0.1.0',
      node_version: process.version,
      os: 'Linux',
      architecture: process.arch,
      host_kernel: '6.1.0',
    },
    artifacts: {
      stdout_sha256: codeOf(number),
      stdout_bytes: 2,
      stdout_complete: true,
      stderr_sha256: codeOf(number),
      stderr_bytes: 0,
      stderr_complete: true,
      streams_combined: false,
      files: [],
      files_complete: true,
    },
    redaction: { key_id: '0123456789abcdef', fields: [] },
  };
}
