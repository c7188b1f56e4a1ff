import { type ProcessIdentity } from '../base/process-identity.js';
import { type LogEntry } from './log-entry.js';
import { type ExecutionStatus, type Statement } from './receipt.js';
import { type SignedReceipt } from './statement.js';

/** What is recorded before a program starts. */
export interface BegunExecution {
  readonly executionId: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly startedAt: string;
  /** The Glasshouse process that runs it. */
  readonly owner: ProcessIdentity;
  /** JSON text of the later receipt's `request`. */
  readonly request: string;
  /** JSON text of the later receipt's `execution`. */
  readonly execution: string;
}

/** What is stored beside a receipt, and may be deleted before it. */
export interface StoredOutputs {
  /** The kept beginning of the stream; null when it was not captured. */
  readonly stdout: Uint8Array | null;
  readonly stderr: Uint8Array | null;
  readonly files: readonly OutputToStore[];
}

export interface OutputToStore {
  /** Raw bytes of a path in `artifacts.files`. */
  readonly path: Uint8Array;
  /** Read once, in pieces of any size. */
  readonly chunks: Iterable<Uint8Array>;
}

/** An execution that has ended: its signed receipt, and what is stored beside it. */
export interface FinishedExecution {
  readonly receipt: SignedReceipt;
  readonly statement: Statement;
  readonly outputs: StoredOutputs;
}

/** Why a receipt is in the log. */
export interface LogProof {
  readonly entry: LogEntry;
  /** The first signed head of the log that covers the entry (c2sp.org/tlog-checkpoint). */
  readonly checkpoint: string;
  /** PATH of RFC 6962 section 2.1.1, from the entry to the root of that head. */
  readonly proof: readonly Uint8Array[];
}

/** One line of a list of receipts. */
export interface ReceiptSummary {
  readonly receiptId: string;
  readonly executionId: string;
  readonly keyId: string;
  readonly timestamp: string;
  readonly finishedAt: string;
  readonly kind: 'python' | 'command';
  readonly status: ExecutionStatus;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly backend: string;
  readonly isolation: string;
  /** When its outputs were dropped by retention; null: they were not. RFC 3339, UTC, milliseconds. */
  readonly outputsDroppedAt: string | null;
}

export interface StoredReceipt extends ReceiptSummary {
  /** The DSSE envelope, byte for byte as it was signed and answered. */
  readonly envelope: Uint8Array;
}

export interface StoredFile {
  readonly path: Uint8Array;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface ListOptions {
  /** 1 to 1,000. */
  readonly limit: number;
  /** The last receipt of the page before; null for the first page. */
  readonly before: string | null;
}
