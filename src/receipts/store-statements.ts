import type Database from 'better-sqlite3';

const statements = new WeakMap<Database.Database, Map<string, Database.Statement>>();

/**
 * The statement that was prepared from this text before, or a new one: compiling one costs more than to run it. For
 * statements that are run to their end each time (run, get, all), never iterated, and whose results are read plainly.
 */
export function prepared<Parameters extends unknown[], Row = unknown>(
  database: Database.Database,
  sql: string,
): Database.Statement<Parameters, Row> {
  const known = statements.get(database) ?? new Map<string, Database.Statement>();
  statements.set(database, known);
  const statement = known.get(sql) ?? database.prepare(sql);
  known.set(sql, statement);
  return statement as unknown as Database.Statement<Parameters, Row>;
}
