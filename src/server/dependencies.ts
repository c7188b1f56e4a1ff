import { type FastifyBaseLogger } from 'fastify';
import { type BackendDescription, type BackendGauge } from '../backends/backend.js';
import { type Configuration } from '../config/settings.js';
import { type AdmissionLoad } from '../engine/admission.js';
import { type CompletedExecution } from '../engine/completed.js';
import { type ExecutionRequest } from '../engine/request.js';
import { type ExecutionStatus } from '../receipts/receipt.js';
import { type ReceiptFilter } from '../receipts/store-filter.js';

/** What the server needs of the engine. */
export interface ExecutionEngine {
  /**
   * Runs one program to its end, whatever the end is, and stores its receipt.
   * @param signal ends the execution as `canceled`.
   * @throws GlasshouseError when there is no receipt, for example `overloaded`.
   */
  run(request: ExecutionRequest, signal: AbortSignal): Promise<CompletedExecution>;
  /** What runs and waits now. */
  readonly load: AdmissionLoad;
  /** Milliseconds after which one that is refused now may expect a place. */
  readonly retryAfterMs: number;
  /** Numbers that the backend reports of itself. */
  gauges(): readonly BackendGauge[];
}

export interface BackendStatus {
  readonly ready: boolean;
  /** Why it is not ready, for people; null when it is. */
  readonly detail: string | null;
  /** Null until the backend has been prepared. */
  readonly description: BackendDescription | null;
}

/** The part of a stored receipt that is answered; what the store gives has more. */
export interface StoredReceipt {
  readonly receiptId: string;
  /** The key that signed it. */
  readonly keyId: string;
  /** The DSSE envelope, as JSON in UTF-8. */
  readonly envelope: Uint8Array;
  /** When its outputs were dropped by retention; null: they were not. */
  readonly outputsDroppedAt: string | null;
}

export interface ReceiptSummary {
  readonly receiptId: string;
  readonly executionId: string;
  /** When the execution started; RFC 3339, UTC. */
  readonly timestamp: string;
  readonly kind: 'python' | 'command';
  readonly status: ExecutionStatus;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly backend: string;
  readonly isolation: string;
  readonly outputsDroppedAt: string | null;
}

/** What the server needs of the receipt store; it never writes. */
export interface ReceiptReader {
  get(receiptId: string): StoredReceipt | null;
  /**
   * Newest first. `before` is the last receipt of the page before this one; null: from the newest.
   * @throws GlasshouseError not_found when `before` is unknown, invalid_request for a text without words.
   */
  list(
    page: { readonly limit: number; readonly before: string | null },
    filter: ReceiptFilter,
  ): readonly ReceiptSummary[];
  /** Null when the stream was not captured or is no longer kept. */
  readStdout(receiptId: string): Uint8Array | null;
  readStderr(receiptId: string): Uint8Array | null;
  /** By the raw bytes of the path; null when the bytes of no such file are kept. */
  fileEntry(receiptId: string, path: Uint8Array): { readonly sizeBytes: number } | null;
  /** Reads as it is iterated; a slow reader must not keep others from the store. */
  readFile(receiptId: string, path: Uint8Array): Iterable<Uint8Array>;
}

/** What the server needs of the log of all receipts; everything that it reads never changes, but for the head. */
export interface LogReader {
  /** Null for a log without entries. */
  latest(): { readonly size: number; readonly note: string } | null;
  /** The hash of a full subtree of 2^level leaves. */
  readonly readHash: (level: number, index: number) => Uint8Array;
  entries(begin: number, count: number): readonly Uint8Array[];
}

export interface ServerDependencies {
  readonly engine: ExecutionEngine;
  readonly store: ReceiptReader;
  readonly log: LogReader;
  /** The file that `glasshouse verify` takes: the envelope together with its public key. */
  readonly encodeBundle: (receipt: StoredReceipt) => Uint8Array;
  readonly backendStatus: () => BackendStatus;
  readonly config: Configuration;
  readonly logger: FastifyBaseLogger;
  /** Version of Glasshouse. */
  readonly version: string;
}
