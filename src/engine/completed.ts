import { type OmissionReason } from '../backends/backend.js';
import { type ErrorCode } from '../base/errors.js';
import { type ExecutionStatus } from '../receipts/receipt.js';

export interface CapturedStream {
  /** What was kept: the first `keepBytes` of the stream. */
  readonly kept: Uint8Array;
  /** Bytes that the program wrote and that were hashed, kept or not. */
  readonly totalBytes: number;
  /** True when the program wrote more than was kept, or was ended for writing too much. */
  readonly truncated: boolean;
}

export interface CompletedFile {
  readonly path: Uint8Array;
  readonly mode: number;
  readonly sizeBytes: number;
  readonly sha256: string | null;
  readonly omitted: OmissionReason | null;
  /** The bytes when they are few enough to be answered inline; null otherwise (read them from the store). */
  readonly inline: Uint8Array | null;
}

/** One execution, ended, with its receipt stored. */
export interface CompletedExecution {
  readonly executionId: string;
  readonly receiptId: string;
  readonly status: ExecutionStatus;
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** Null when the stream was not captured. */
  readonly stdout: CapturedStream | null;
  readonly stderr: CapturedStream | null;
  readonly files: readonly CompletedFile[];
  readonly filesComplete: boolean;
  readonly durationMs: number;
  readonly timings: {
    readonly queueMs: number;
    readonly bootMs: number;
    readonly runMs: number;
    /** From the program's end until what it left had come. */
    readonly collectMs: number;
    readonly receiptMs: number;
    /** Stages inside bootMs, in milliseconds, in order. */
    readonly bootStages: Readonly<Record<string, number>>;
  };
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
}
