import { GlasshouseError } from '../base/errors.js';
import { canonicalBytes } from './canonical-json.js';
import { type AsJson, type JsonValue } from './json-value.js';
import { assertSchema, integer, objectOf, type Schema, sha256Hex, timestamp } from './schema.js';
import { parseStrictJson } from './strict-json.js';

/** One leaf of the log; its bytes are the RFC 8785 form. */
export interface LogEntry {
  /** Of the DSSE envelope in its RFC 8785 form. */
  readonly envelope_sha256: string;
  /** Place in the log, from 0. */
  readonly index: number;
  /** When it was logged; RFC 3339, UTC, milliseconds. Never before that of the entry before. */
  readonly time: string;
}

const BOUNDS = { maxBytes: 1_024, maxDepth: 1, maxContainers: 1 } as const;

export const LOG_ENTRY: Schema<LogEntry> = objectOf<LogEntry>({
  envelope_sha256: sha256Hex,
  index: integer(),
  time: timestamp,
});

export function encodeLogEntry(entry: LogEntry): Uint8Array {
  const json: AsJson<LogEntry> = entry;
  return canonicalBytes(json);
}

/** Throws `receipt_invalid` for bytes that encodeLogEntry does not make. */
export function parseLogEntry(bytes: Uint8Array): LogEntry {
  const json: JsonValue = parseStrictJson(bytes, BOUNDS);
  const entry = assertSchema(LOG_ENTRY, json, 'entry');
  const canonical = encodeLogEntry(entry);
  if (canonical.length === bytes.length && canonical.every((byte, index) => bytes[index] === byte))
    return entry;
  throw new GlasshouseError('receipt_invalid', 'The entry of the log is not in canonical form (RFC 8785).');
}
