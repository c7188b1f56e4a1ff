import type Database from 'better-sqlite3';

import { GlasshouseError } from '../base/errors.js';
import { Sha256 } from './crypto.js';
import { type OutputFileRecord } from './receipt.js';
import { type OutputToStore, type StoredFile } from './store-types.js';
import { quote, textFromBytes } from './text.js';

export const CHUNK_BYTES = 256 * 1024;

interface FileRow {
  readonly file: number;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/**
 * Writes one output file, in rows of 256 KiB, inside the caller's transaction. Throws `store_failed` when the bytes
 * are not those of the receipt's record: what is stored beside a receipt always agrees with it.
 */
export function insertFile(
  database: Database.Database,
  receipt: number,
  output: OutputToStore,
  record: OutputFileRecord | undefined,
): void {
  if (record?.sha256 === undefined || record.sha256 === null) throw differs(output.path, 'is not hashed in');
  const { lastInsertRowid: file } = database
    .prepare('INSERT INTO files (receipt, path, size_bytes, sha256) VALUES (?, ?, ?, ?)')
    .run(receipt, Buffer.from(output.path), record.size_bytes, record.sha256);
  const insertChunk = database.prepare('INSERT INTO file_chunks (file, position, content) VALUES (?, ?, ?)');
  const hash = new Sha256();
  let position = 0;
  let sizeBytes = 0;
  for (const chunk of inEqualChunks(output.chunks)) {
    insertChunk.run(file, position, chunk);
    hash.update(chunk);
    position += 1;
    sizeBytes += chunk.length;
  }
  if (sizeBytes !== record.size_bytes || hash.digest() !== record.sha256)
    throw differs(output.path, 'differs from');
}

export function findFile(
  database: Database.Database,
  receiptId: string,
  path: Uint8Array,
): (StoredFile & { readonly file: number }) | null {
  const row = database
    .prepare<[string, Buffer], FileRow>(
      `SELECT file, size_bytes AS sizeBytes, files.sha256 AS sha256
       FROM files JOIN receipts ON receipts.sequence = files.receipt
       WHERE receipts.receipt_id = ? AND files.path = ?`,
    )
    .get(receiptId, Buffer.from(path));
  return row === undefined ? null : { ...row, path };
}

/**
 * Reads a file row by row: each is a query of its own, so that the connection stays free for others while a slow
 * reader takes its time. Throws `not_found` when the file is deleted meanwhile.
 */
export function* readChunks(
  database: Database.Database,
  file: { readonly file: number; readonly sizeBytes: number },
): Generator<Uint8Array, void, undefined> {
  const select = database
    .prepare<[number, number], Buffer>('SELECT content FROM file_chunks WHERE file = ? AND position = ?')
    .pluck();
  const chunkCount = Math.ceil(file.sizeBytes / CHUNK_BYTES);
  for (let position = 0; position < chunkCount; position += 1) {
    const chunk = select.get(file.file, position);
    if (chunk === undefined)
      throw new GlasshouseError('not_found', 'The file was deleted from the receipt store.');
    yield chunk;
  }
}

/** Regroups pieces of any size into pieces of CHUNK_BYTES, the last one shorter. The yielded buffer is reused. */
export function* inEqualChunks(pieces: Iterable<Uint8Array>): Generator<Uint8Array, void, undefined> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let filled = 0;
  for (const piece of pieces) {
    for (let taken = 0; taken < piece.length;) {
      const part = piece.subarray(taken, taken + CHUNK_BYTES - filled);
      buffer.set(part, filled);
      filled += part.length;
      taken += part.length;
      if (filled === CHUNK_BYTES) {
        yield buffer;
        filled = 0;
      }
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}

function differs(path: Uint8Array, how: string): GlasshouseError {
  const name = quote(JSON.stringify(textFromBytes(path)));
  return new GlasshouseError('store_failed', `The output file ${name} ${how} the receipt.`);
}
