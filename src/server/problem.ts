import { STATUS_CODES } from 'node:http';
import { type FastifyReply } from 'fastify';
import { ERROR_CODES, type ErrorCode, GlasshouseError } from '../base/errors.js';
import { dottedField } from './field-name.js';

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** The HTTP status of an error that has no status of its own; docs/errors.md is held against this table. */
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_request: 422,
  limit_exceeded: 422,
  unsupported_by_backend: 422,
  command_not_found: 422,
  command_not_executable: 422,
  not_found: 404,
  gone: 410,
  overloaded: 429,
  queue_timeout: 503,
  deadline_exceeded: 503,
  output_closed: 500,
  backend_unavailable: 503,
  tool_missing: 503,
  observation_unavailable: 503,
  tool_failed: 500,
  image_missing: 503,
  image_corrupt: 503,
  snapshot_corrupt: 503,
  image_build_failed: 503,
  disk_full: 507,
  vmm_failed: 500,
  vmm_stopped: 500,
  boot_timeout: 500,
  guest_lost: 500,
  guest_unresponsive: 500,
  guest_link_violation: 500,
  guest_setup_failed: 500,
  receipt_invalid: 500,
  key_invalid: 500,
  key_unsafe: 500,
  store_failed: 500,
  store_unsupported: 500,
  log_corrupt: 500,
  duplicate_name: 500,
  payload_type_unknown: 500,
  receipt_id_mismatch: 500,
  key_untrusted: 500,
  signature_invalid: 500,
  payload_not_canonical: 500,
  receipt_contradictory: 500,
  subject_mismatch: 500,
  checkpoint_invalid: 500,
  log_untrusted: 500,
  log_entry_mismatch: 500,
  log_inclusion_invalid: 500,
  log_time_reversed: 500,
  log_forked: 500,
  log_truncated: 500,
  log_rewritten: 500,
  log_proof_missing: 500,
  log_differs: 500,
  configuration_invalid: 500,
  canceled: 503,
  owner_died: 500,
  internal: 500,
};

/** What goes wrong with a request, before it becomes a document (RFC 9457). */
export interface Problem {
  readonly status: number;
  readonly code: ErrorCode;
  /** For people: what is wrong here and what to do about it. */
  readonly detail: string;
  /** Dotted name of the field that it is about, for example `files[0].path`; null if none. */
  readonly field: string | null;
  readonly headers: Readonly<Record<string, string>>;
  /** Further members of the document. */
  readonly extensions: Readonly<Record<string, string>>;
}

/** A problem whose status is the usual one of its code. */
export function problem(
  code: ErrorCode,
  detail: string,
  specifics: Partial<Omit<Problem, 'code' | 'detail'>> = {},
): Problem {
  const status = HTTP_STATUS[code];
  return { status, code, detail, field: null, headers: {}, extensions: {}, ...specifics };
}

/** Thrown for a problem whose status is not the usual one of its code. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly problem: Problem;

  constructor(problem: Problem, options: { cause?: unknown } = {}) {
    super(problem.detail, options);
    this.problem = problem;
  }
}

/** What cannot be understood at all, as opposed to what is understood and refused: status 400. */
export function malformed(
  detail: string,
  { field = null, cause }: { field?: string | null; cause?: unknown } = {},
): ProblemError {
  return new ProblemError(problem('invalid_request', detail, { status: 400, field }), { cause });
}

/** What a client may know about an error: everything, except for the insides of a defect. */
export function problemOf(error: GlasshouseError): Problem {
  const field = error.field === null ? null : dottedField(error.field);
  return problem(error.code, publicDetail(error.code, error.message), {
    field,
    headers: error.retryAfterMs === null ? {} : { 'retry-after': wholeSeconds(error.retryAfterMs) },
  });
}

/** delay-seconds of Retry-After (RFC 9110, 10.2.3): rounded up, so that nobody comes too early. */
function wholeSeconds(milliseconds: number): string {
  return String(Math.max(1, Math.ceil(milliseconds / 1000)));
}

/** The message of an error, unless it is a defect: that may name what is nobody's business. */
export function publicDetail(code: ErrorCode, message: string): string {
  return code === 'internal'
    ? 'Glasshouse failed in a way that it should not. The log of the server has the details.'
    : message;
}

/** The document as JSON text; `requestId` becomes its `instance`. */
export function encodeProblem(problem: Problem, requestId: string): string {
  return JSON.stringify(problemDocument(problem, requestId));
}

export function problemDocument(problem: Problem, requestId: string): Record<string, unknown> {
  return {
    type: `urn:glasshouse:error:${problem.code}`,
    title: ERROR_CODES[problem.code],
    status: problem.status,
    detail: problem.detail,
    instance: `urn:uuid:${requestId}`,
    code: problem.code,
    ...(problem.field === null ? {} : { field: problem.field }),
    ...problem.extensions,
  };
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  return reply
    .code(problem.status)
    .headers(problem.headers)
    .type(PROBLEM_MEDIA_TYPE)
    .send(encodeProblem(problem, reply.request.id));
}

/** A whole HTTP/1.1 answer, for a client whose request could not even be parsed. */
export function rawProblemAnswer(problem: Problem, requestId: string): string {
  const body = encodeProblem(problem, requestId);
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    `Content-Type: ${PROBLEM_MEDIA_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}

/** @param retryAfterMs milliseconds after which there may be room. */
export function overloaded(retryAfterMs: number): Problem {
  const message = 'The server has as much work as it takes; try again later.';
  return problemOf(new GlasshouseError('overloaded', message, { retryAfterMs }));
}

export function shuttingDown(): Problem {
  return problem('canceled', 'The server is shutting down.', { headers: { connection: 'close' } });
}
