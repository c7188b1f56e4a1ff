import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { ReceiptStore } from '../../src/receipts/store.js';
import { asStoreError } from '../../src/receipts/store-file.js';
import { runChild, startChild } from './run-child.js';
import { utf8 } from './sample.js';
import { temporaryDirectory } from './temporary-directory.js';
import { failed, openStore, openRaw, storeReceipt, disposable } from './store-support.js';

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
    assert.deepEqual(names, ['glasshouse.db', 'glasshouse.db-shm', 'glasshouse.db-wal', 'log-head']);
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
      raw.database.pragma('user_version = 1000');
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
