import {
  type FileSystemRecord,
  type NetworkRecord,
  type Observation,
  type ObservedProcess,
  type SystemCallRecord,
} from './observed.js';
import { type Text } from './text.js';

export { type Text } from './text.js';

export const PREDICATE_TYPE = 'urn:glasshouse:execution-receipt:v1';
/** https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md */
export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const PAYLOAD_TYPE = 'application/vnd.in-toto+json';
export const BUNDLE_MEDIA_TYPE = 'application/vnd.glasshouse.receipt-bundle.v1+json';

/** How an execution ended; the first cause wins. */
export const EXECUTION_STATUSES = [
  'ok',
  'error',
  'timeout',
  'oom',
  'output_limit',
  'canceled',
  'infra_error',
] as const;
export type ExecutionStatus = (typeof EXECUTION_STATUSES)[number];

/** Who saw what ran. `none`: the process that ran it died before it could say. */
export const PROVENANCES = ['none', 'host', 'guest', 'host+guest'] as const;
export type Provenance = (typeof PROVENANCES)[number];

/** Everything below is stored as it stands here; docs/receipt-format.md explains each field. */
export interface Predicate {
  readonly version: 1;
  /** UUIDv7, lower case. */
  readonly execution_id: string;
  readonly provenance: Provenance;
  /** Start; RFC 3339, UTC, milliseconds, `Z`. */
  readonly timestamp: string;
  readonly finished_at: string;
  readonly request: Request;
  readonly outcome: Outcome;
  readonly timing: Timing;
  readonly resources: Resources | null;
  readonly execution: Execution;
  /** In order of birth; empty when nothing was observed. */
  readonly process_tree: readonly ObservedProcess[];
  /** Null, as the next two: not observed, which does not mean that nothing happened. */
  readonly filesystem: FileSystemRecord | null;
  readonly network: NetworkRecord | null;
  readonly syscalls: SystemCallRecord | null;
  readonly observation: Observation;
  readonly environment: Environment;
  readonly artifacts: Artifacts;
  /** Absent in receipts that were made before there was redaction. */
  readonly redaction?: Redaction;
}

export interface Request {
  readonly kind: 'python' | 'command';
  /** Of the Python source; null for a command. */
  readonly code_sha256: string | null;
  readonly argv: readonly Text[];
  /** Names only: values may be secrets. */
  readonly env_names: readonly Text[];
  /** Those that the configuration asked to record; absent when it asked for none. */
  readonly env_values?: readonly RecordedVariable[];
  /** Null: not captured (inherited). */
  readonly stdin_sha256: string | null;
  readonly input_files: readonly InputFileRecord[];
  /** Null: no deadline. */
  readonly timeout_ms: number | null;
  /** Null: none enforced. */
  readonly limits: LimitsRecord | null;
}

export interface RecordedVariable {
  readonly name: Text;
  readonly value: Text;
}

export interface InputFileRecord {
  readonly path: Text;
  readonly sha256: string;
  readonly size_bytes: number;
}

export interface LimitsRecord {
  readonly memory_mb: number;
  readonly cpus: number;
  readonly disk_mb: number;
  readonly pids: number;
  /** Null: output was not limited. */
  readonly output_bytes: number | null;
}

export interface Outcome {
  readonly status: ExecutionStatus;
  readonly exit_code: number | null;
  readonly signal: string | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

export interface Timing {
  readonly queue_ms: number;
  readonly boot_ms: number;
  readonly run_ms: number;
  /** Parts of boot_ms in microseconds; every name ends in `_us`. */
  readonly boot_stages: Readonly<Record<string, number>>;
}

export interface Resources {
  /** Who measured: the host's kernel or the guest's. */
  readonly source: 'host' | 'guest';
  readonly max_rss_kb: number;
  readonly cpu_time_ms: number;
  readonly user_us: number;
  readonly system_us: number;
}

export interface Execution {
  readonly backend: string;
  readonly isolation: string;
  /** Null when whoever knew it died. */
  readonly start: 'cold' | 'restored' | 'pooled' | null;
  /** What the guest was a clone of; absent in receipts that were made before there were clones. */
  readonly snapshot?: { readonly sha256: string; readonly age_ms: number } | null;
  readonly vmm_version: string | null;
  /** sha256 by part of the guest image. */
  readonly image: Readonly<Record<string, string>> | null;
  /** What an honest reader should know. */
  readonly notes: readonly string[];
}

export interface Environment {
  readonly glasshouse_version: string;
  readonly node_version: string;
  readonly os: string;
  readonly architecture: string;
  readonly host_kernel: string;
}

/** Where marks stand instead of secrets. */
export interface Redaction {
  /** Marks of receipts with the same id can be compared: equal secrets have equal marks. */
  readonly key_id: string;
  /** JSON pointers (RFC 6901) from the predicate, sorted. */
  readonly fields: readonly string[];
}

export interface Artifacts {
  /** Null: not captured (it went to a terminal). */
  readonly stdout_sha256: string | null;
  readonly stdout_bytes: number | null;
  /** False: the program was ended, or may have written more than was hashed. */
  readonly stdout_complete: boolean;
  readonly stderr_sha256: string | null;
  readonly stderr_bytes: number | null;
  readonly stderr_complete: boolean;
  /** True: stdout and stderr were one pipe, and both hashes are of the whole. */
  readonly streams_combined: boolean;
  readonly files: readonly OutputFileRecord[];
  readonly files_complete: boolean;
}

export interface OutputFileRecord {
  readonly path: Text;
  readonly size_bytes: number;
  /** Four octal digits: `0644`. */
  readonly mode: string;
  /** Null when the bytes were left out. */
  readonly sha256: string | null;
  /** Why the bytes were left out; null when they were not. */
  readonly omitted: string | null;
}

/** in-toto ResourceDescriptor, as far as it is used here. */
export interface Subject {
  readonly name: string;
  readonly digest: { readonly sha256: string };
}

export interface Statement {
  readonly _type: typeof STATEMENT_TYPE;
  readonly subject: readonly Subject[];
  readonly predicateType: typeof PREDICATE_TYPE;
  readonly predicate: Predicate;
}
