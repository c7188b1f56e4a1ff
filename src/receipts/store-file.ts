import { chmodSync, closeSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';

import Database from 'better-sqlite3';

import { makeDirectory } from '../base/directory.js';
import { asGlasshouseError, type ErrorCode, GlasshouseError, systemErrorCode } from '../base/errors.js';
import { STORE_APPLICATION_ID, STORE_MIGRATIONS, STORE_VERSION } from './store-schema.js';

const FILE_NAME = 'glasshouse.db';
const BUSY_TIMEOUT_MS = 5_000;
/** What the write-ahead log may keep on disk after a large transaction. */
const JOURNAL_LIMIT_BYTES = 16 * 1024 * 1024;
/** Of the database's pages, for each process; the system keeps the others in memory as long as there is room. */
const CACHE_KIB = 2048;
/**
 * Pages after which the write-ahead log goes into the database: those limits' worth. With SQLite's 1,000 the same few
 * pages of the indexes are written to the database, and synced, after every few receipts.
 */
const CHECKPOINT_PAGES = JOURNAL_LIMIT_BYTES / 4_096;

/**
 * Opens `<directory>/glasshouse.db`, making the directory (0700), the file (0600; SQLite gives its side files the same
 * mode) and the tables where they are missing. Throws `store_unsupported` for a file that is not ours to write.
 */
export function openStoreFile(directory: string): Database.Database {
  const file = join(directory, FILE_NAME);
  return asStoreError(`open the receipt store ${file}`, () => {
    makeDirectory(directory, 0o700);
    makePrivate(file);
    const database = new Database(file, { timeout: BUSY_TIMEOUT_MS });
    try {
      prepareDatabase(database, file);
    } catch (thrown) {
      database.close();
      throw thrown;
    }
    return database;
  });
}

/** Runs an operation of the store; what goes wrong becomes a GlasshouseError that says which operation it was. */
export function asStoreError<T>(operation: string, action: () => T): T {
  try {
    return action();
  } catch (thrown) {
    throw storeError(operation, thrown);
  }
}

export function storeError(operation: string, thrown: unknown): GlasshouseError {
  if (thrown instanceof GlasshouseError) return thrown;
  const { message } = asGlasshouseError(thrown);
  return new GlasshouseError(codeFor(thrown), `Cannot ${operation}: ${message}`, { cause: thrown });
}

function codeFor(thrown: unknown): ErrorCode {
  if (thrown instanceof Database.SqliteError && thrown.code.startsWith('SQLITE_FULL')) return 'disk_full';
  return asGlasshouseError(thrown, 'store_failed').code;
}

/**
 * An existing file is never opened here: closing any descriptor of a file drops all POSIX locks that this process
 * holds on it, also those of SQLite (https://sqlite.org/howtocorrupt.html, section 2.2).
 */
function makePrivate(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600));
  } catch (thrown) {
    if (systemErrorCode(thrown) !== 'EEXIST') throw thrown;
    if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600);
  }
}

function prepareDatabase(database: Database.Database, file: string): void {
  if (readVersion(database, file) < STORE_VERSION) migrate(database, file);
  database.pragma(`cache_size = -${CACHE_KIB}`);
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.pragma('foreign_keys = ON');
  database.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  database.pragma(`journal_size_limit = ${JOURNAL_LIMIT_BYTES}`);
}

/**
 * Makes the tables, or those that an older version lacks. Another process may do the same at the same time: whoever
 * gets the write lock second finds the work done.
 */
function migrate(database: Database.Database, file: string): void {
  database
    .transaction(() => {
      const version = readVersion(database, file);
      const isFull = database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() !== undefined;
      if (version === 0 && isFull) throw notOurs(file);
      for (const step of STORE_MIGRATIONS.slice(version)) database.exec(step);
      database.pragma(`application_id = ${STORE_APPLICATION_ID}`);
      database.pragma(`user_version = ${STORE_VERSION}`);
    })
    .immediate();
}

/** 0 for a file in which nothing was stored yet. Throws `store_unsupported` for a version that we do not know. */
function readVersion(database: Database.Database, file: string): number {
  const version = database.pragma('user_version', { simple: true }) as number;
  if (version === 0) return 0;
  if (database.pragma('application_id', { simple: true }) !== STORE_APPLICATION_ID) throw notOurs(file);
  if (version > 0 && version <= STORE_VERSION) return version;
  throw new GlasshouseError(
    'store_unsupported',
    `${file} was written by a newer version of Glasshouse (store version ${version}, this one knows ` +
      `up to ${STORE_VERSION}): use that version, or another data directory.`,
  );
}

function notOurs(file: string): GlasshouseError {
  return new GlasshouseError(
    'store_unsupported',
    `${file} is not a receipt store: move it away, or use another data directory.`,
  );
}
