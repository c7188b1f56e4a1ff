import os from 'node:os';

import {
  type BackendDescription,
  type GuestOrigin,
  type OutputFile,
  type ResourceUsage,
  type SnapshotIdentity,
} from '../backends/backend.js';
import { VERSION } from '../base/version.js';
import { type Observed, type Unobserved } from '../profilers/profiler.js';
import { sha256 } from '../receipts/crypto.js';
import {
  type Artifacts,
  type Environment,
  type Execution,
  type Predicate,
  type Request,
  type Resources,
} from '../receipts/receipt.js';
import { textFromBytes, textFromString } from '../receipts/text.js';
import { type ExecutionRedaction } from '../redaction/execution-redaction.js';
import { type EndedExecution } from './execution.js';
import { type ExecutionRequest } from './request.js';

const MICROSECONDS_PER_MS = 1000;

/** The receipt's `request`, without secrets; `stdinSha256` is known at the end only. */
export function requestRecord(
  request: ExecutionRequest,
  backend: BackendDescription,
  redaction: ExecutionRedaction,
  stdinSha256: string | null,
): Request {
  const { program, limits } = request;
  const variables = redaction.recordedEnvironment(request.environment);
  return redaction.request({
    kind: program.kind,
    code_sha256: program.kind === 'python' ? sha256(program.code) : null,
    argv: (program.kind === 'python' ? program.args : program.argv).map(textFromString),
    env_names: Object.keys(request.environment).sort().map(textFromString),
    ...(variables.length === 0 ? {} : { env_values: variables }),
    stdin_sha256: stdinSha256,
    input_files: request.inputFiles.map((file) => ({
      path: textFromString(file.path),
      sha256: sha256(file.content),
      size_bytes: file.content.length,
    })),
    timeout_ms: request.timeoutMs,
    limits: !backend.enforcesLimits
      ? null
      : {
          memory_mb: limits.memoryMb,
          cpus: limits.cpus,
          disk_mb: limits.diskMb,
          pids: limits.pids,
          output_bytes: request.capture.endAfterBytes,
        },
  });
}

/** The receipt's `execution`, without secrets; `origin` is null while it is not known how the guest will come up. */
export function executionRecord(
  backend: BackendDescription,
  redaction: ExecutionRedaction,
  origin: GuestOrigin | null,
  at: Date,
): Execution {
  return redaction.execution({
    backend: backend.name,
    isolation: backend.isolation,
    start: origin?.start ?? null,
    snapshot: snapshotRecord(origin?.snapshot ?? null, at),
    vmm_version: backend.vmmVersion,
    image: backend.imageDigests === null ? null : { ...backend.imageDigests },
    notes: [...backend.notes],
  });
}

function snapshotRecord(
  snapshot: SnapshotIdentity | null,
  at: Date,
): NonNullable<Execution['snapshot']> | null {
  if (snapshot === null) return null;
  return { sha256: snapshot.sha256, age_ms: Math.max(0, at.getTime() - snapshot.createdAt.getTime()) };
}

/** The receipt's `environment`: the host, as far as a stranger may know it. */
export function environmentRecord(): Environment {
  return {
    glasshouse_version: VERSION,
    node_version: process.version,
    os: os.type(),
    architecture: process.arch,
    host_kernel: os.release(),
  };
}

/** Hashes of streams that went to files of the caller's. */
export interface InheritedHashes {
  readonly stdout: { readonly sha256: string; readonly bytes: number } | null;
  readonly stderr: { readonly sha256: string; readonly bytes: number } | null;
}

export interface RecordParts {
  readonly executionId: string;
  readonly startedAt: Date;
  readonly finishedAt: Date;
  readonly queueMs: number;
  readonly request: ExecutionRequest;
  readonly backend: BackendDescription;
  readonly redaction: ExecutionRedaction;
  readonly ended: EndedExecution;
  readonly observed: Observed | Unobserved;
  readonly outputFiles: readonly OutputFile[];
  /** False when files are missing from `outputFiles`. */
  readonly outputFilesComplete: boolean;
  readonly inherited: InheritedHashes;
}

const NOTHING_SEEN = {
  processTree: [],
  filesystem: null,
  network: null,
  syscalls: null,
  resources: null,
} as const;

/** Everything that is known about one execution, as the receipt says it: without secrets. */
export function buildPredicate(parts: RecordParts): Predicate {
  const { ended, backend, redaction } = parts;
  const observed = 'processTree' in parts.observed ? parts.observed : { ...NOTHING_SEEN, ...parts.observed };
  const { outcome, result } = ended;
  const error = outcome.error;
  return redaction.predicate({
    version: 1,
    execution_id: parts.executionId,
    provenance: backend.isolation === 'none' ? 'host' : 'host+guest',
    timestamp: parts.startedAt.toISOString(),
    finished_at: parts.finishedAt.toISOString(),
    request: requestRecord(parts.request, backend, redaction, ended.stdinSha256),
    outcome: {
      status: outcome.status,
      exit_code: outcome.exitCode,
      signal: outcome.signal,
      error: error === null ? null : { code: error.code, message: redaction.message(error.message) },
    },
    timing: {
      queue_ms: Math.round(parts.queueMs),
      boot_ms: Math.round(ended.bootMs),
      run_ms: Math.round(result?.runMs ?? 0),
      boot_stages: stagesInMicroseconds(ended.bootStages),
    },
    resources: resourcesRecord(result?.resources ?? null) ?? observed.resources,
    execution: executionRecord(backend, redaction, ended.origin, parts.startedAt),
    process_tree: observed.processTree,
    filesystem: observed.filesystem,
    network: observed.network,
    syscalls: observed.syscalls,
    observation: observed.observation,
    environment: environmentRecord(),
    artifacts: artifactsRecord(parts),
  });
}

function stagesInMicroseconds(stages: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(stages).map(([name, ms]) => [
      `${name}_us`,
      Math.max(0, Math.round(ms * MICROSECONDS_PER_MS)),
    ]),
  );
}

function resourcesRecord(usage: ResourceUsage | null): Resources | null {
  if (usage === null) return null;
  return {
    source: usage.source,
    max_rss_kb: usage.maxRssKb,
    cpu_time_ms: Math.round((usage.userMicros + usage.systemMicros) / MICROSECONDS_PER_MS),
    user_us: usage.userMicros,
    system_us: usage.systemMicros,
  };
}

interface StreamRecord {
  readonly sha256: string | null;
  readonly bytes: number | null;
  readonly complete: boolean;
}

function streamRecord(parts: RecordParts, stream: 'stdout' | 'stderr'): StreamRecord {
  const { request, ended, inherited } = parts;
  const ranToItsEnd = ended.result !== null && ended.result.termination.kind !== 'lost';
  if (request[stream] === 'inherit') {
    const hash = inherited[stream];
    return {
      sha256: hash?.sha256 ?? null,
      bytes: hash?.bytes ?? null,
      complete: hash !== null && ranToItsEnd,
    };
  }
  // After `2>&1` both names stand for the one stream that there was.
  const report = ended.capture.report(request.stderr === 'with_stdout' ? 'stdout' : stream);
  const cutOff = ended.outcome.status === 'output_limit';
  return { sha256: report.sha256, bytes: report.totalBytes, complete: ranToItsEnd && !cutOff };
}

function artifactsRecord(parts: RecordParts): Artifacts {
  const stdout = streamRecord(parts, 'stdout');
  const stderr = streamRecord(parts, 'stderr');
  return {
    stdout_sha256: stdout.sha256,
    stdout_bytes: stdout.bytes,
    stdout_complete: stdout.complete,
    stderr_sha256: stderr.sha256,
    stderr_bytes: stderr.bytes,
    stderr_complete: stderr.complete,
    streams_combined: parts.request.streamsCombined,
    files: parts.outputFiles.map((file) => ({
      path: textFromBytes(file.path),
      size_bytes: file.sizeBytes,
      mode: file.mode.toString(8).padStart(4, '0'),
      sha256: file.sha256,
      omitted: file.omitted,
    })),
    files_complete: parts.outputFilesComplete,
  };
}
