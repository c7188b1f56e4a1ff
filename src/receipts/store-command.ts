import type Database from 'better-sqlite3';

import { prepared } from './store-statements.js';

/** What an execution was asked to run, as far as a line of a list has room for it. */
export interface ListedCommand {
  /** Of the Python source; null for a command. */
  readonly codeSha256: string | null;
  /** The first arguments, each one's beginning; those that are no UTF-8 as `base64:` and their base64. */
  readonly words: readonly string[];
}

/** A line is longer by then, whatever the words are. */
const MOST_WORDS = 64;
const LONGEST_WORD = 256;

/** An argument may have 128 KiB, and there may be 100,000: what is not shown is not read out of the database. */
const SELECT = `SELECT CAST(json_extract(request, '$.code_sha256') AS TEXT) AS codeSha256,
  (SELECT json_group_array(word) FROM (
    SELECT CASE type WHEN 'object' THEN 'base64:' || substr(json_extract(value, '$.base64'), 1, ${LONGEST_WORD})
      ELSE substr(value, 1, ${LONGEST_WORD}) END AS word
    FROM json_each(request, '$.argv') LIMIT ${MOST_WORDS})) AS words
  FROM executions WHERE execution_id = ? AND json_valid(request)`;

/** From what was stored when it began, which had lost its secrets; null: nothing readable was. */
export function findCommand(database: Database.Database, executionId: string): ListedCommand | null {
  const row = prepared<[string], { codeSha256: string | null; words: string }>(database, SELECT).get(
    executionId,
  );
  if (row === undefined) return null;
  return { codeSha256: row.codeSha256, words: (JSON.parse(row.words) as unknown[]).map(String) };
}
