import { GlasshouseError } from '../base/errors.js';
import { type ExecutionStatus } from './receipt.js';
import { LATEST_POSITION_MS, POSITION_COUNTER_BITS } from './store-index-schema.js';
import { termOf, wordsOf } from './store-terms.js';

/** Which receipts a list has; null leaves a field open. */
export interface ReceiptFilter {
  /** Any of these. */
  readonly statuses: readonly ExecutionStatus[] | null;
  /** Started at this time or later; RFC 3339, UTC. */
  readonly since: string | null;
  /** Started before this time. */
  readonly until: string | null;
  readonly backend: string | null;
  readonly codeSha256: string | null;
  /** Words that all occur in its arguments, names of files, error, or what it was observed to run. */
  readonly text: string | null;
}

export const ALL_RECEIPTS: ReceiptFilter = {
  statuses: null,
  since: null,
  until: null,
  backend: null,
  codeSha256: null,
  text: null,
};

/** Positions from `from` up to, not including, `to`. */
export interface PositionRange {
  readonly from: bigint;
  readonly to: bigint;
}

export function positionAt(milliseconds: number): bigint {
  const clamped = Math.min(Math.max(Math.floor(milliseconds), 0), LATEST_POSITION_MS);
  return BigInt(clamped) << POSITION_COUNTER_BITS;
}

export function positionsOf({ since, until }: ReceiptFilter): PositionRange {
  return {
    from: since === null ? 0n : positionAt(Date.parse(since)),
    to: until === null ? (1n << 63n) - 1n : positionAt(Date.parse(until)),
  };
}

/**
 * The query for receipt_terms (https://sqlite.org/fts5.html#full_text_query_syntax); null when times alone decide.
 * Throws `invalid_request` for a text without a word in it.
 */
export function termsQuery({ statuses, backend, codeSha256, text }: ReceiptFilter): string | null {
  const parts = [
    ...(statuses === null
      ? []
      : [`status : (${statuses.map((status) => quoted(termOf(status))).join(' OR ')})`]),
    ...(backend === null ? [] : [`backend : ${quoted(termOf(backend))}`]),
    ...(codeSha256 === null ? [] : [`code : ${quoted(termOf(codeSha256))}`]),
    ...(text === null ? [] : searchedWords(text).map((word) => `text : ${quoted(word)}`)),
  ];
  return parts.length === 0 ? null : parts.join(' AND ');
}

function searchedWords(text: string): readonly string[] {
  const words = wordsOf(text);
  if (words.length > 0 && words.length <= MOST_WORDS) return words;
  throw new GlasshouseError('invalid_request', `text must have 1 to ${MOST_WORDS} words.`, { field: 'text' });
}

const MOST_WORDS = 32;

/** Words are letters and digits; the quotes keep AND, OR, NOT and NEAR from being operators. */
function quoted(word: string): string {
  return `"${word}"`;
}
