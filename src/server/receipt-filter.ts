import { type ExecutionStatus } from '../receipts/receipt.js';
import { type ReceiptFilter } from '../receipts/store-filter.js';
import { malformed } from './problem.js';
import { type ListQuery } from './receipt-schema.js';

/**
 * The filter that a query asks for.
 * @param query valid by ListQuery.
 * @throws ProblemError for a day that does not exist.
 */
export function filterOf(query: ListQuery): ReceiptFilter {
  return {
    // The pattern of the schema has nothing but these in it.
    statuses: (query.status?.split(',') as ExecutionStatus[] | undefined) ?? null,
    since: momentOf(query.since, 'since'),
    until: momentOf(query.until, 'until'),
    backend: query.backend ?? null,
    codeSha256: query.code_sha256 ?? null,
    text: query.text ?? null,
  };
}

/** The query of the next page: the same filter, further on. */
export function nextQuery(query: ListQuery, limit: number, before: string): string {
  const { status, since, until, backend, code_sha256, text } = query;
  const given = Object.entries({ status, since, until, backend, code_sha256, text }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return new URLSearchParams([['limit', String(limit)], ['before', before], ...given]).toString();
}

function momentOf(text: string | undefined, field: string): string | null {
  if (text === undefined) return null;
  const milliseconds = Date.parse(text);
  if (Number.isNaN(milliseconds)) throw malformed('There is no such time.', { field });
  return new Date(milliseconds).toISOString();
}
