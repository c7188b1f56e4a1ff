/**
 * What lists are made from; it follows from the receipts and is filled again from them where it is missing.
 *
 * `position` orders receipts by the start of their execution: 42 bits of Unix milliseconds, then 21 bits that count
 * those of the same millisecond in the order in which they were stored. The terms have it as their rowid, so that what
 * a filter finds comes out in the order of the list, however much it finds.
 *
 * The terms are words alone, without the texts that they are from (contentless, https://sqlite.org/fts5.html). They
 * are cut before they get here (store-terms.ts): the tokenizer has nothing left to do but to split at spaces.
 */
export const RECEIPT_INDEX_SCHEMA = `
CREATE TABLE receipt_index (
  position INTEGER PRIMARY KEY,
  receipt INTEGER NOT NULL UNIQUE REFERENCES receipts (sequence),
  stored_bytes INTEGER NOT NULL,
  outputs_dropped_at TEXT
) STRICT;
CREATE INDEX outputs_by_age ON receipt_index (position, stored_bytes, receipt)
  WHERE stored_bytes > 0 AND outputs_dropped_at IS NULL;

CREATE VIRTUAL TABLE receipt_terms USING fts5 (
  status, backend, code, text, content = '', columnsize = 0, detail = column, tokenize = ascii
);

DROP INDEX receipts_by_time;
`;

export const POSITION_COUNTER_BITS = 21n;
/** Milliseconds from 1970 that a position has room for: until the year 2109. */
export const LATEST_POSITION_MS = 2 ** 42 - 1;
