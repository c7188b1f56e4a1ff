import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import Database from 'better-sqlite3';

import { thisProcess } from '../../src/base/process-identity.js';
import { sha256, Sha256 } from '../../src/receipts/crypto.js';
import { type Artifacts, type Predicate, type Statement } from '../../src/receipts/receipt.js';
import { type SignedReceipt } from '../../src/receipts/statement.js';
import { type BegunExecution, ReceiptStore, type StoredOutputs } from '../../src/receipts/store.js';
import { asStoreError } from '../../src/receipts/store-file.js';
import { textFromBytes } from '../../src/receipts/text.js';
import { runChild, startChild } from './run-child.js';
import { executionId, samplePredicate, sampleReceipt, utf8 } from './sample.js';
import { temporaryDirectory } from './temporary-directory.js';

const NO_OUTPUTS: StoredOutputs = { stdout: null, stderr: null, files: [] };
const failed = { name: 'GlasshouseError', code: 'store_failed' };
const MIB = 1024 * 1024;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function openStore(t: TestContext): { store: ReceiptStore; directory: string } {
  const directory = temporaryDirectory(t);
  const store = ReceiptStore.open(directory);
  t.after(() => {
    store.close();
  });
  return { store, directory };
}

/** A second connection, as any other program could open it: without our pragmas. */
function openRaw(t: TestContext, directory: string): Database.Database {
  const raw = new Database(join(directory, 'glasshouse.db'));
  raw.pragma('recursive_triggers = OFF');
  raw.pragma('foreign_keys = OFF');
  t.after(() => {
    raw.close();
  });
  return raw;
}

function begun(number = 1): BegunExecution {
  return {
    executionId: executionId(number),
    startedAt: '2025-01-02T03:04:05.678Z',
    owner: thisProcess(),
    request: '{"kind":"python"}',
    execution: '{"backend":"qemu"}',
  };
}

async function storeReceipt(
  store: ReceiptStore,
  number: number,
  overrides: Partial<Predicate> = {},
  outputs: StoredOutputs = NO_OUTPUTS,
): Promise<{ statement: Statement; receipt: SignedReceipt }> {
  const made = await sampleReceipt({ execution_id: executionId(number), ...overrides });
  store.begin(begun(number));
  store.finish(made.receipt, made.statement, outputs);
  return made;
}

/** Artifacts with exactly one file. */
function withFile(
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

describe('ReceiptStore: one execution', () => {
  it('is unfinished from begin to finish, and gives back what was begun', async (t) => {
    const { store } = openStore(t);
    store.begin(begun());
    assert.deepEqual(store.unfinished(), [begun()]);
    assert.equal(store.getByExecution(executionId()), null);
    const { statement, receipt } = await sampleReceipt();
    store.finish(receipt, statement, NO_OUTPUTS);
    assert.deepEqual(store.unfinished(), []);
  });

  it('is found by receipt and by execution, with the envelope byte for byte', async (t) => {
    const { store } = openStore(t);
    const { receipt } = await storeReceipt(store, 1);
    const stored = store.get(receipt.receiptId);
    assert.ok(stored !== null);
    assert.deepEqual(Buffer.from(stored.envelope), Buffer.from(receipt.envelopeBytes));
    const summary = {
      receiptId: receipt.receiptId,
      executionId: executionId(),
      keyId: receipt.keyId,
      timestamp: '2025-01-02T03:04:05.678Z',
      finishedAt: '2025-01-02T03:04:07.901Z',
      kind: 'python',
      status: 'ok',
      exitCode: 0,
      signal: null,
      backend: 'qemu',
      isolation: 'vm-tcg',
    };
    assert.deepEqual(stored, { ...summary, envelope: stored.envelope });
    assert.deepEqual(store.getByExecution(executionId()), stored);
    assert.deepEqual(store.list({ limit: 1, before: null }), [summary]);
    assert.equal(store.get('0'.repeat(64)), null);
    assert.equal(store.getByExecution(executionId(2)), null);
  });

  it('keeps streams, and tells empty ones from those that were not captured', async (t) => {
    const { store } = openStore(t);
    const stdout = Uint8Array.of(0, 0xff, 0x0a);
    const { receipt } = await storeReceipt(store, 1, {}, { stdout, stderr: new Uint8Array(), files: [] });
    assert.deepEqual(Buffer.from(store.readStdout(receipt.receiptId) ?? []), Buffer.from(stdout));
    assert.equal(store.readStderr(receipt.receiptId)?.length, 0);
    const { receipt: silent } = await storeReceipt(store, 2);
    assert.equal(store.readStdout(silent.receiptId), null);
    assert.equal(store.readStderr('0'.repeat(64)), null);
  });

  it('survives closing and opening', async (t) => {
    const { store, directory } = openStore(t);
    const { receipt } = await storeReceipt(store, 1);
    store.begin(begun(2));
    store.close();
    using again = ReceiptStore.open(directory);
    assert.equal(again.get(receipt.receiptId)?.executionId, executionId(1));
    assert.deepEqual(again.unfinished(), [begun(2)]);
  });

  it('cannot be begun twice, finished twice, or finished without a beginning', async (t) => {
    const { store } = openStore(t);
    const { statement, receipt } = await storeReceipt(store, 1);
    assert.throws(
      () => {
        store.begin(begun(1));
      },
      { ...failed, message: /already begun/ },
    );
    assert.throws(
      () => {
        store.finish(receipt, statement, NO_OUTPUTS);
      },
      { ...failed, message: /already has/ },
    );
    const other = await sampleReceipt({ finished_at: '2025-01-02T03:04:08.000Z' });
    assert.throws(() => {
      store.finish(other.receipt, other.statement, NO_OUTPUTS);
    }, failed);
    const unbegun = await sampleReceipt({ execution_id: executionId(9) });
    assert.throws(() => {
      store.finish(unbegun.receipt, unbegun.statement, NO_OUTPUTS);
    }, failed);
    assert.equal(store.list({ limit: 10, before: null }).length, 1);
  });

  it('cannot be finished with a receipt that was signed over another statement', async (t) => {
    const { store } = openStore(t);
    store.begin(begun());
    const { statement } = await sampleReceipt();
    const { receipt } = await sampleReceipt({ provenance: 'guest' });
    assert.throws(
      () => {
        store.finish(receipt, statement, NO_OUTPUTS);
      },
      { ...failed, message: /another/ },
    );
    assert.equal(store.unfinished().length, 1);
  });
});

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

describe('ReceiptStore: all or nothing', () => {
  const out = utf8('out.txt');
  const outputs: Record<string, () => StoredOutputs> = {
    'whose bytes cannot be read to the end': () => ({
      stdout: utf8('4\n'),
      stderr: null,
      files: [
        {
          path: out,
          chunks: (function* () {
            yield Buffer.alloc(MIB);
            throw new Error('the disk is gone');
          })(),
        },
      ],
    }),
    'that differ from the receipt': () => ({
      stdout: utf8('4\n'),
      stderr: null,
      files: [{ path: out, chunks: [utf8('xxx')] }],
    }),
    'that are longer than in the receipt': () => ({
      ...NO_OUTPUTS,
      files: [{ path: out, chunks: [utf8('outs')] }],
    }),
    'that the receipt does not list': () => ({
      ...NO_OUTPUTS,
      files: [
        { path: out, chunks: [utf8('out')] },
        { path: utf8('\u001b[2J'), chunks: [] },
      ],
    }),
    'that the receipt lists as omitted': () => ({
      ...NO_OUTPUTS,
      files: [{ path: utf8('link'), chunks: [] }],
    }),
    'that come twice': () => ({
      ...NO_OUTPUTS,
      files: [
        { path: out, chunks: [utf8('out')] },
        { path: out, chunks: [utf8('out')] },
      ],
    }),
  };
  for (const [name, make] of Object.entries(outputs)) {
    it(`files ${name} leave no receipt and no row behind`, async (t) => {
      const { store, directory } = openStore(t);
      store.begin(begun());
      const { statement, receipt } = await sampleReceipt();
      assert.throws(
        () => {
          store.finish(receipt, statement, make());
        },
        (thrown: Error) =>
          /^[\x20-\x7e]+$/.test(thrown.message) && (thrown as { code?: string }).code === 'store_failed',
      );
      const raw = openRaw(t, directory);
      for (const table of ['receipts', 'streams', 'files', 'file_chunks']) {
        assert.equal(raw.prepare(`SELECT count(*) FROM ${table}`).pluck().get(), 0, table);
      }
      assert.equal(store.unfinished().length, 1);
      store.finish(receipt, statement, NO_OUTPUTS);
      assert.equal(store.list({ limit: 10, before: null }).length, 1);
    });
  }
});

describe('ReceiptStore: what raw SQL cannot do', () => {
  const receiptColumns =
    'receipt_id, execution_id, key_id, timestamp, finished_at, kind, status, backend, isolation, envelope';
  const receiptValues = (receiptId: string, execution: string): string =>
    `${receiptId}, ${execution}, 'k', 't', 't', 'python', 'ok', 'b', 'none', x'00'`;
  const refusals: readonly string[] = [
    "UPDATE receipts SET status = 'error'",
    'UPDATE receipts SET sequence = sequence + 1',
    "UPDATE OR REPLACE receipts SET receipt_id = 'x'",
    'DELETE FROM receipts',
    `INSERT OR REPLACE INTO receipts (${receiptColumns}) SELECT ${receiptValues("'other'", 'execution_id')} FROM receipts`,
    `REPLACE INTO receipts (${receiptColumns}) SELECT ${receiptValues('receipt_id', "'other'")} FROM receipts`,
    `INSERT OR REPLACE INTO receipts (sequence, ${receiptColumns})
       SELECT sequence, ${receiptValues("'other'", "'other'")} FROM receipts`,
    `INSERT INTO receipts (${receiptColumns}) SELECT ${receiptValues('receipt_id', 'execution_id')} FROM receipts
       WHERE true ON CONFLICT DO UPDATE SET status = 'error'`,
    "UPDATE executions SET request = '{}'",
    'DELETE FROM executions',
    'INSERT OR REPLACE INTO executions SELECT execution_id, started_at, 1, 1, owner_boot_id, request, execution FROM executions',
    'DELETE FROM unfinished',
    "UPDATE unfinished SET execution_id = 'x'",
  ];
  for (const sql of refusals) {
    it(sql.replace(/\s+/g, ' ').slice(0, 90), async (t) => {
      const { store, directory } = openStore(t);
      const { receipt } = await storeReceipt(store, 1);
      store.begin(begun(2));
      const before = store.get(receipt.receiptId);
      const raw = openRaw(t, directory);
      assert.throws(() => raw.exec(sql), { code: 'SQLITE_CONSTRAINT_TRIGGER' });
      assert.deepEqual(store.get(receipt.receiptId), before);
      assert.deepEqual(store.unfinished(), [begun(2)]);
    });
  }
});

describe('ReceiptStore: list', () => {
  const at = (second: number): Partial<Predicate> => ({
    timestamp: `2025-01-02T03:04:0${second}.000Z`,
    finished_at: '2025-01-02T03:05:00.000Z',
  });

  function pages(store: ReceiptStore, limit: number): string[][] {
    const all: string[][] = [];
    for (let before: string | null = null; ;) {
      const page = store.list({ limit, before });
      if (page.length === 0) return all;
      all.push(page.map(({ executionId: id }) => id));
      before = page.at(-1)?.receiptId ?? null;
    }
  }

  it('gives every receipt once, newest first, also when many began in the same millisecond', async (t) => {
    const { store } = openStore(t);
    const seconds = [3, 1, 2, 2, 2, 2, 2, 1, 3, 2];
    for (const [index, second] of seconds.entries()) await storeReceipt(store, index + 1, at(second));
    const expected = [9, 1, 10, 7, 6, 5, 4, 3, 8, 2].map(executionId);
    for (const limit of [1, 2, 3, 10, 1_000]) {
      assert.deepEqual(pages(store, limit).flat(), expected, `pages of ${limit}`);
    }
    assert.deepEqual(
      pages(store, 4).map((page) => page.length),
      [4, 4, 2],
    );
  });

  it('is not shifted by receipts that arrive between pages', async (t) => {
    const { store } = openStore(t);
    for (const number of [1, 2, 3]) await storeReceipt(store, number, at(1));
    const [first] = store.list({ limit: 1, before: null });
    assert.equal(first?.executionId, executionId(3));
    await storeReceipt(store, 4, at(1));
    await storeReceipt(store, 5, at(2));
    const rest = store.list({ limit: 10, before: first.receiptId });
    assert.deepEqual(
      rest.map(({ executionId: id }) => id),
      [2, 1].map(executionId),
    );
  });

  it('walks an index, however many receipts there are', async (t) => {
    const { store, directory } = openStore(t);
    await storeReceipt(store, 1);
    const plan = openRaw(t, directory)
      .prepare<[], { detail: string }>(
        `EXPLAIN QUERY PLAN SELECT status FROM receipts WHERE (timestamp, sequence) < ('t', 1)
         ORDER BY timestamp DESC, sequence DESC LIMIT 10`,
      )
      .all()
      .map(({ detail }) => detail)
      .join('; ');
    assert.equal(plan, 'SEARCH receipts USING INDEX receipts_by_time (timestamp<?)'); // and no sorting
  });

  it('refuses an unknown cursor and limits out of range', (t) => {
    const { store } = openStore(t);
    assert.throws(() => store.list({ limit: 1, before: '0'.repeat(64) }), { code: 'not_found' });
    for (const limit of [0, -1, 1.5, 1_001, NaN]) {
      assert.throws(() => store.list({ limit, before: null }), { code: 'invalid_request', field: 'limit' });
    }
    assert.deepEqual(store.list({ limit: 1, before: null }), []);
  });
});

describe('ReceiptStore: several processes', () => {
  it('make one store when they come first at once', async (t) => {
    const directory = join(temporaryDirectory(t), 'data');
    await Promise.all(Array.from({ length: 4 }, () => runChild('open-store', directory)));
    using store = ReceiptStore.open(directory);
    assert.deepEqual(store.unfinished(), []);
  });

  it('write at once, and nothing is lost', async (t) => {
    const { store, directory } = openStore(t);
    const outputs = await Promise.all([
      runChild('write-receipts', directory, '1000', '50'),
      runChild('write-receipts', directory, '2000', '50'),
    ]);
    const printed = outputs.flatMap((output) => output.split('\n'));
    assert.equal(printed.length, 100);
    const listed = store.list({ limit: 1_000, before: null }).map(({ receiptId }) => receiptId);
    assert.deepEqual(listed.toSorted(), printed.toSorted());
  });

  it('killed in the middle of writing lose nothing that was done, and leave nothing half done', async (t) => {
    const { store, directory } = openStore(t);
    const child = startChild('write-receipts', directory);
    const printed: string[] = [];
    for await (const line of createInterface(child.stdout)) {
      printed.push(line);
      if (printed.length === 20) child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    assert.equal(child.signalCode, 'SIGKILL');

    store.close();
    using again = ReceiptStore.open(directory);
    for (const id of printed) {
      assert.notEqual(again.get(id), null);
      assert.equal(Buffer.concat([...again.readFile(id, utf8('out.txt'))]).toString(), 'out');
    }
    const raw = openRaw(t, directory);
    assert.equal(raw.pragma('integrity_check', { simple: true }), 'ok');
    assert.deepEqual(raw.pragma('foreign_key_check'), []);
    const count = (table: string): unknown => raw.prepare(`SELECT count(*) FROM ${table}`).pluck().get();
    assert.equal(count('files'), count('receipts'));
    assert.equal(count('executions'), Number(count('receipts')) + again.unfinished().length);
    await storeReceipt(again, 0xffff);
  });
});

describe('ReceiptStore: the file', () => {
  it('that has no room left is reported as a full disk', (t) => {
    using raw = disposable(new Database(join(temporaryDirectory(t), 'small.db')));
    raw.database.exec('CREATE TABLE t (b BLOB)');
    raw.database.pragma('max_page_count = 2');
    const insert = raw.database.prepare('INSERT INTO t VALUES (zeroblob(100000))');
    assert.throws(() => asStoreError('store the receipt', () => insert.run()), {
      name: 'GlasshouseError',
      code: 'disk_full',
      message: /^Cannot store the receipt: /,
    });
  });

  it('is durable at every commit, and for its owner alone', async (t) => {
    const directory = join(temporaryDirectory(t), 'a', 'data');
    using store = ReceiptStore.open(directory);
    await storeReceipt(store, 1);
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    const names = readdirSync(directory).sort();
    assert.deepEqual(names, ['glasshouse.db', 'glasshouse.db-shm', 'glasshouse.db-wal']);
    for (const name of names) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name);
    assert.equal(openRaw(t, directory).pragma('journal_mode', { simple: true }), 'wal');
  });

  it('is closed to others again when its mode was loosened; an existing directory is left as it is', (t) => {
    const directory = temporaryDirectory(t);
    ReceiptStore.open(directory).close();
    chmodSync(join(directory, 'glasshouse.db'), 0o644);
    chmodSync(directory, 0o755);
    ReceiptStore.open(directory).close();
    assert.equal(statSync(join(directory, 'glasshouse.db')).mode & 0o777, 0o600);
    assert.equal(statSync(directory).mode & 0o777, 0o755);
  });

  const foreign: Record<string, (file: string) => void> = {
    'from a newer version': (file) => {
      using raw = disposable(new Database(file));
      raw.database.pragma('application_id = 0x474c4853');
      raw.database.pragma('user_version = 2');
    },
    'that another program made': (file) => {
      using raw = disposable(new Database(file));
      raw.database.exec('CREATE TABLE theirs (a)');
    },
    'that another program made, with the same version': (file) => {
      using raw = disposable(new Database(file));
      raw.database.exec('CREATE TABLE theirs (a)');
      raw.database.pragma('user_version = 1');
    },
  };
  for (const [name, make] of Object.entries(foreign)) {
    it(`${name} is refused and left as it is`, (t) => {
      const directory = temporaryDirectory(t);
      const file = join(directory, 'glasshouse.db');
      make(file);
      assert.throws(() => ReceiptStore.open(directory), {
        code: 'store_unsupported',
        message: /data directory/,
      });
      using raw = disposable(new Database(file));
      assert.equal(raw.database.pragma('journal_mode', { simple: true }), 'delete');
      assert.equal(
        raw.database.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'receipts'").pluck().get(),
        0,
      );
    });
  }

  it('that is no database, or no file, is an error that names it', (t) => {
    const directory = temporaryDirectory(t);
    const file = join(directory, 'glasshouse.db');
    writeFileSync(file, 'x'.repeat(8_192));
    assert.throws(() => ReceiptStore.open(directory), { ...failed, message: /glasshouse\.db/ });
    const other = temporaryDirectory(t);
    mkdirSync(join(other, 'glasshouse.db'));
    assert.throws(() => ReceiptStore.open(other), failed);
  });
});

function disposable(database: Database.Database): Disposable & { readonly database: Database.Database } {
  return {
    database,
    [Symbol.dispose]: () => {
      database.close();
    },
  };
}
