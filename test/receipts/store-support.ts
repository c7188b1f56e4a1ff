import { join } from 'node:path';
import { type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import Database from 'better-sqlite3';
import { thisProcess } from '../../src/base/process-identity.js';
import { type Artifacts, type Predicate, type Statement } from '../../src/receipts/receipt.js';
import { type SignedReceipt } from '../../src/receipts/statement.js';
import { type BegunExecution, ReceiptStore, type StoredOutputs } from '../../src/receipts/store.js';
import { textFromBytes } from '../../src/receipts/text.js';
import { LOG_SIGNER } from './sample-log.js';
import { executionId, samplePredicate, sampleReceipt } from './sample.js';
import { temporaryDirectory } from './temporary-directory.js';

export const NO_OUTPUTS: StoredOutputs = { stdout: null, stderr: null, files: [] };
export const failed = { name: 'GlasshouseError', code: 'store_failed' };
export const MIB = 1024 * 1024;

setFlagsFromString('--expose-gc');
export const collectGarbage = runInNewContext('gc') as () => void;

export function openStore(t: TestContext): { store: ReceiptStore; directory: string } {
  const directory = temporaryDirectory(t);
  const store = ReceiptStore.open(directory);
  t.after(() => {
    store.close();
  });
  return { store, directory };
}

/** A second connection, as any other program could open it: without our pragmas. */
export function openRaw(t: TestContext, directory: string): Database.Database {
  const raw = new Database(join(directory, 'glasshouse.db'));
  raw.pragma('recursive_triggers = OFF');
  raw.pragma('foreign_keys = OFF');
  t.after(() => {
    raw.close();
  });
  return raw;
}

export function begun(number = 1): BegunExecution {
  return {
    executionId: executionId(number),
    startedAt: '2025-01-02T03:04:05.678Z',
    owner: thisProcess(),
    request: '{"kind":"python"}',
    execution: '{"backend":"qemu"}',
  };
}

/** Stores and logs one receipt; throws what refused it. */
export function finish(
  store: ReceiptStore,
  receipt: SignedReceipt,
  statement: Statement,
  outputs: StoredOutputs,
): void {
  const [refusal] = store.append([{ receipt, statement, outputs }], LOG_SIGNER);
  if (refusal !== null) throw refusal ?? new Error('no answer');
}

export async function storeReceipt(
  store: ReceiptStore,
  number: number,
  overrides: Partial<Predicate> = {},
  outputs: StoredOutputs = NO_OUTPUTS,
): Promise<{ statement: Statement; receipt: SignedReceipt }> {
  const made = await sampleReceipt({ execution_id: executionId(number), ...overrides });
  store.begin(begun(number));
  finish(store, made.receipt, made.statement, outputs);
  return made;
}

/** Artifacts with exactly one file. */
export function withFile(
  path: Uint8Array,
  content: { sizeBytes: number; sha256: string },
): { artifacts: Artifacts } {
  const file = {
    path: textFromBytes(path),
    size_bytes: content.sizeBytes,
    mode: '0644',
    sha256: content.sha256,
    omitted: null,
  };
  return { artifacts: { ...samplePredicate().artifacts, files: [file] } };
}

export function disposable(
  database: Database.Database,
): Disposable & { readonly database: Database.Database } {
  return {
    database,
    [Symbol.dispose]: () => {
      database.close();
    },
  };
}
