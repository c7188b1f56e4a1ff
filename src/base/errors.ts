/**
 * Every error that Glasshouse itself raises carries one of these codes. The table is the only place where a
 * code is defined; docs/errors.md is held against it by a test.
 */
export const ERROR_CODES = {
  // What the caller asked for cannot be done.
  invalid_request: 'The request is malformed or a field has a value that is not allowed.',
  limit_exceeded: 'A requested limit is above the maximum that this installation allows.',
  unsupported_by_backend: 'The chosen backend cannot do what the request asks for.',
  command_not_found: 'The command does not exist.',
  command_not_executable: 'The command exists but cannot be executed.',
  not_found: 'Nothing is stored under that name.',
  gone: 'The outputs of that receipt were dropped by retention; the receipt is still there.',
  overloaded: 'The queue is full; try again later.',
  queue_timeout: 'The execution did not get its turn in time and was not started; try again later.',
  deadline_exceeded: 'The deadline of the request, which includes the wait, passed.',

  // The machine lacks something.
  backend_unavailable: 'The backend cannot run on this machine.',
  tool_missing: 'A program that Glasshouse needs is not installed.',
  observation_unavailable: 'The command was to be observed, and the observer cannot do it here.',
  tool_failed: 'A program that Glasshouse needs failed, took too long or wrote too much.',
  image_missing: 'The guest image has not been built.',
  image_corrupt: 'A part of the guest image differs from its manifest.',
  snapshot_corrupt: 'A stored snapshot of a guest is damaged; it is made anew.',
  image_build_failed: 'The guest image could not be built.',
  disk_full: 'The host has no room for the files of this execution.',

  // A virtual machine or its link failed.
  vmm_failed: 'The virtual machine monitor could not be started or ended on its own.',
  vmm_stopped: 'The virtual machine monitor was stopped by a signal from outside.',
  boot_timeout: 'The guest did not report in time that it had booted.',
  guest_lost: 'The guest ended (panic, reboot or power off) before it reported a result.',
  guest_unresponsive: 'The guest did not answer a request to stop in time.',
  guest_link_violation: 'The guest broke the rules of the guest link.',
  guest_setup_failed: 'Guest init could not prepare the execution.',

  // Receipts and keys.
  receipt_invalid: 'The receipt is malformed.',
  key_invalid: 'The key is malformed or of an unsupported kind.',
  key_unsafe: 'The private key can be read by others.',
  store_failed: 'The receipt store refused an operation.',
  store_unsupported: 'The receipt store was written by another version of Glasshouse.',
  log_corrupt: 'The stored log differs from what was signed: somebody changed it.',

  // What verification refuses, beside what is malformed.
  duplicate_name: 'A JSON object has two members of one name.',
  payload_type_unknown: 'The payload of the envelope is not of the type of a receipt.',
  receipt_id_mismatch: 'The receipt is not the one that its id says.',
  key_untrusted: 'No trusted key signed it.',
  signature_invalid: 'A signature does not hold.',
  payload_not_canonical: 'The payload is not the canonical form of itself.',
  receipt_contradictory: 'Two fields of the receipt contradict each other.',
  subject_mismatch: 'The receipt does not speak of the bytes that were given.',
  checkpoint_invalid: 'The checkpoint of a log is malformed.',
  log_untrusted: 'No trusted log signed the checkpoint.',
  log_entry_mismatch: 'The entry of the log is about another receipt.',
  log_inclusion_invalid: 'The entry is not in the log at that place.',
  log_time_reversed: 'The log says that something was logged before it happened.',
  log_forked: 'Two logs of one size and name differ.',
  log_truncated: 'The newer log is shorter than the older one.',
  log_rewritten: 'The newer log does not continue the older one.',
  log_proof_missing: 'No proof was given that the newer log continues the older one.',
  log_differs: 'The two checkpoints are those of different logs.',

  // Our own life cycle.
  configuration_invalid:
    'A flag, environment variable or configuration file has a value that is not allowed.',
  output_closed: 'Whoever read the output went away.',
  canceled: 'The caller went away or Glasshouse is shutting down.',
  owner_died: 'The Glasshouse process that ran this execution is gone and left no receipt for it.',
  internal: 'A defect in Glasshouse.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** The one error class of Glasshouse: a literal code for programs, a message that says what to do for people. */
export class GlasshouseError extends Error {
  override readonly name = 'GlasshouseError';
  readonly code: ErrorCode;
  /** The request field that the error is about, as a JSON pointer without the leading slash; null if none. */
  readonly field: string | null;
  /** Milliseconds after which trying again has a prospect of success; null when nobody can say. */
  readonly retryAfterMs: number | null;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; field?: string; retryAfterMs?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.field = options.field ?? null;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** What the host is short of, whatever somebody was about to do. */
const SHORTAGES: Readonly<Partial<Record<string, ErrorCode>>> = {
  ENOSPC: 'disk_full',
  EMFILE: 'backend_unavailable',
  ENFILE: 'backend_unavailable',
};

/** Wraps anything thrown into a GlasshouseError; errors that already are one pass through unchanged. */
export function asGlasshouseError(thrown: unknown, fallback: ErrorCode = 'internal'): GlasshouseError {
  if (thrown instanceof GlasshouseError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const code = SHORTAGES[systemErrorCode(thrown) ?? ''] ?? fallback;
  return new GlasshouseError(code, message, { cause: thrown });
}

/** The `code` of a Node.js system error (for example `ENOENT`), or null for anything else. */
export function systemErrorCode(thrown: unknown): string | null {
  if (!(thrown instanceof Error) || !('code' in thrown)) return null;
  return typeof thrown.code === 'string' ? thrown.code : null;
}
