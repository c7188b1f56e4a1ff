/**
 * The tables of the receipt store.
 *
 * Executions, receipts and the log are written once. The triggers refuse UPDATE and DELETE, and the INSERT that would replace
 * a row (INSERT OR REPLACE deletes without firing a DELETE trigger, unless recursive_triggers is on). They stop
 * mistakes and other programs, not somebody who drops them: that an edited row is noticed is what the signature is for.
 *
 * `unfinished` follows from the other two tables and spares a scan of all executions at every start. Outputs stand
 * in tables of their own and may be deleted.
 */
import { RECEIPT_INDEX_SCHEMA } from './store-index-schema.js';

/** `GLHS`: marks the file as a receipt store (PRAGMA application_id). */
export const STORE_APPLICATION_ID = 0x474c4853;

const VERSION_1 = `
CREATE TABLE executions (
  execution_id TEXT PRIMARY KEY,
  started_at TEXT NOT NULL,
  owner_pid INTEGER NOT NULL,
  owner_start_ticks INTEGER NOT NULL,
  owner_boot_id TEXT NOT NULL,
  request TEXT NOT NULL,
  execution TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE receipts (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  receipt_id TEXT NOT NULL UNIQUE,
  execution_id TEXT NOT NULL UNIQUE REFERENCES executions (execution_id),
  key_id TEXT NOT NULL,
  timestamp TEXT NOT NULL,
  finished_at TEXT NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL,
  exit_code INTEGER,
  signal TEXT,
  backend TEXT NOT NULL,
  isolation TEXT NOT NULL,
  envelope BLOB NOT NULL
) STRICT;
CREATE INDEX receipts_by_time ON receipts (timestamp);

CREATE TABLE unfinished (
  execution_id TEXT PRIMARY KEY REFERENCES executions (execution_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE streams (
  receipt INTEGER NOT NULL REFERENCES receipts (sequence),
  name TEXT NOT NULL CHECK (name IN ('stdout', 'stderr')),
  content BLOB NOT NULL,
  PRIMARY KEY (receipt, name)
) STRICT;

CREATE TABLE files (
  file INTEGER PRIMARY KEY,
  receipt INTEGER NOT NULL REFERENCES receipts (sequence),
  path BLOB NOT NULL,
  size_bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  UNIQUE (receipt, path)
) STRICT;

CREATE TABLE file_chunks (
  file INTEGER NOT NULL REFERENCES files (file) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (file, position)
) STRICT;

CREATE TRIGGER executions_are_not_updated BEFORE UPDATE ON executions
  BEGIN SELECT RAISE(ABORT, 'executions are immutable'); END;
CREATE TRIGGER executions_are_not_deleted BEFORE DELETE ON executions
  BEGIN SELECT RAISE(ABORT, 'executions are immutable'); END;
CREATE TRIGGER executions_are_not_replaced BEFORE INSERT ON executions
  WHEN EXISTS (SELECT 1 FROM executions WHERE execution_id = NEW.execution_id)
  BEGIN SELECT RAISE(ABORT, 'the execution was already begun'); END;

CREATE TRIGGER receipts_are_not_updated BEFORE UPDATE ON receipts
  BEGIN SELECT RAISE(ABORT, 'receipts are immutable'); END;
CREATE TRIGGER receipts_are_not_deleted BEFORE DELETE ON receipts
  BEGIN SELECT RAISE(ABORT, 'receipts are immutable'); END;
CREATE TRIGGER receipts_are_not_replaced BEFORE INSERT ON receipts
  WHEN EXISTS (SELECT 1 FROM receipts WHERE execution_id = NEW.execution_id)
    OR EXISTS (SELECT 1 FROM receipts WHERE receipt_id = NEW.receipt_id)
    OR EXISTS (SELECT 1 FROM receipts WHERE sequence = NEW.sequence)
  BEGIN SELECT RAISE(ABORT, 'the execution already has a receipt'); END;

CREATE TRIGGER begun_is_unfinished AFTER INSERT ON executions
  BEGIN INSERT INTO unfinished (execution_id) VALUES (NEW.execution_id); END;
CREATE TRIGGER receipt_finishes AFTER INSERT ON receipts
  BEGIN DELETE FROM unfinished WHERE execution_id = NEW.execution_id; END;
CREATE TRIGGER unfinished_is_not_updated BEFORE UPDATE ON unfinished
  BEGIN SELECT RAISE(ABORT, 'unfinished executions are kept by triggers'); END;
CREATE TRIGGER unfinished_is_not_deleted BEFORE DELETE ON unfinished
  WHEN NOT EXISTS (SELECT 1 FROM receipts WHERE execution_id = OLD.execution_id)
  BEGIN SELECT RAISE(ABORT, 'the execution has no receipt yet'); END;
`;

/**
 * The log: leaf n is about the receipt of sequence n + 1. `log_hashes` has the hashes of all full subtrees, in the
 * order in which they become known (merkle-tree.ts). `log_checkpoints` has every head that was ever signed, at most
 * one for each size.
 */
const VERSION_2 = `
CREATE TABLE log_entries (
  entry_index INTEGER PRIMARY KEY,
  entry BLOB NOT NULL
) STRICT;
CREATE TABLE log_hashes (
  position INTEGER PRIMARY KEY,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TABLE log_checkpoints (
  size INTEGER PRIMARY KEY,
  note TEXT NOT NULL
) STRICT;

CREATE TRIGGER log_entries_are_appended BEFORE INSERT ON log_entries
  WHEN NEW.entry_index <> (SELECT coalesce(max(entry_index) + 1, 0) FROM log_entries)
    OR NOT EXISTS (SELECT 1 FROM receipts WHERE sequence = NEW.entry_index + 1)
  BEGIN SELECT RAISE(ABORT, 'the log has entries for its receipts, one after the other'); END;
CREATE TRIGGER log_entries_are_not_updated BEFORE UPDATE ON log_entries
  BEGIN SELECT RAISE(ABORT, 'the log is immutable'); END;
CREATE TRIGGER log_entries_are_not_deleted BEFORE DELETE ON log_entries
  BEGIN SELECT RAISE(ABORT, 'the log is immutable'); END;

CREATE TRIGGER log_hashes_are_appended BEFORE INSERT ON log_hashes
  WHEN NEW.position <> (SELECT coalesce(max(position) + 1, 0) FROM log_hashes)
  BEGIN SELECT RAISE(ABORT, 'hashes of the log are appended'); END;
CREATE TRIGGER log_hashes_are_not_updated BEFORE UPDATE ON log_hashes
  BEGIN SELECT RAISE(ABORT, 'the log is immutable'); END;
CREATE TRIGGER log_hashes_are_not_deleted BEFORE DELETE ON log_hashes
  BEGIN SELECT RAISE(ABORT, 'the log is immutable'); END;

CREATE TRIGGER log_checkpoints_grow BEFORE INSERT ON log_checkpoints
  WHEN NEW.size <= (SELECT coalesce(max(size), 0) FROM log_checkpoints)
    OR NEW.size <> (SELECT coalesce(max(entry_index) + 1, 0) FROM log_entries)
  BEGIN SELECT RAISE(ABORT, 'a head is signed for all entries, and once'); END;
CREATE TRIGGER log_checkpoints_are_not_updated BEFORE UPDATE ON log_checkpoints
  BEGIN SELECT RAISE(ABORT, 'the log is immutable'); END;
CREATE TRIGGER log_checkpoints_are_not_deleted BEFORE DELETE ON log_checkpoints
  BEGIN SELECT RAISE(ABORT, 'the log is immutable'); END;
`;

/** Step n brings the tables of version n to version n + 1; a new file goes through all of them. */
export const STORE_MIGRATIONS: readonly string[] = [VERSION_1, VERSION_2, RECEIPT_INDEX_SCHEMA];

export const STORE_VERSION = STORE_MIGRATIONS.length;
