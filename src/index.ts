/**
 * The public library API: checking receipts, offline, in one's own program. To run programs, use the command line or
 * the HTTP API.
 */
export { ERROR_CODES, type ErrorCode, GlasshouseError } from './base/errors.js';
export { RECEIPT_BOUNDS } from './receipts/bundle.js';
export {
  BUNDLE_MEDIA_TYPE,
  EXECUTION_STATUSES,
  type ExecutionStatus,
  PAYLOAD_TYPE,
  type Predicate,
  PREDICATE_TYPE,
  type Statement,
  STATEMENT_TYPE,
} from './receipts/receipt.js';
export { NoteVerifier } from './receipts/signed-note.js';
export { parseTrustedKeys, type TrustedKeys } from './receipts/trusted-keys.js';
export { KeyVerifier, type Verifier } from './receipts/verifier.js';
export {
  type Check,
  type CheckName,
  type GivenSubject,
  REQUIRED_CHECKS,
  type VerificationReport,
  verifyReceipt,
  type VerifyOptions,
} from './receipts/verify.js';
export { type LogReport, verifyLog } from './receipts/verify-log.js';
