import { type InputFile, type Limits, type StdinPlan } from '../backends/backend.js';
import { GlasshouseError } from '../base/errors.js';
import { type Configuration } from '../config/settings.js';
import { type ExecutionRequest } from '../engine/request.js';
import { checkProgramText, checkVectors, checkWellFormed } from './request-text.js';
import { type RunBody } from './run-schema.js';
import { checkPathsTogether, checkWorkspacePath } from './workspace-path.js';

const BYTES_PER_MIB = 1024 * 1024;

/**
 * Checks what the schema cannot say and fills in every default.
 * @param body valid by RunBody.
 * @param client who asks; see clientKey().
 * @throws GlasshouseError with the field, as a JSON pointer; nothing has been started then.
 */
export function resolveRunRequest(body: RunBody, config: Configuration, client: string): ExecutionRequest {
  if (body.network === true)
    throw new GlasshouseError('unsupported_by_backend', 'Programs have no network; leave it out.', {
      field: 'network',
    });
  const args = body.args ?? [];
  const environment = Object.entries(body.env ?? {});
  checkProgramText(body.code, 'code');
  checkVectors(args, environment);
  const limits = resolveLimits(body.limits ?? {}, config);
  return {
    client,
    program: { kind: 'python', code: body.code, args },
    // fromEntries defines properties, so that a variable named __proto__ is one like all others.
    environment: Object.fromEntries(environment),
    inputFiles: resolveFiles(body.files ?? [], limits),
    stdin: resolveStdin(body.stdin),
    stdout: 'capture',
    stderr: 'capture',
    capture: { keepBytes: limits.outputBytes, endAfterBytes: limits.outputBytes },
    inheritedStdout: null,
    inheritedStderr: null,
    streamsCombined: false,
    onQueued: null,
    onStarted: null,
    listener: null,
    onInterrupted: null,
    timeoutMs: atMost(body.timeout_ms, config.defaultTimeoutMs, config.maxTimeoutMs, 'timeout_ms'),
    deadlineMs: body.deadline_ms ?? null,
    limits,
    observation: null,
    fresh: body.fresh ?? false,
  };
}

function resolveLimits(asked: NonNullable<RunBody['limits']>, config: Configuration): Limits {
  return {
    memoryMb: atMost(asked.memory_mb, config.defaultMemoryMb, config.maxMemoryMb, 'limits/memory_mb'),
    cpus: atMost(asked.cpus, config.defaultCpus, config.maxCpus, 'limits/cpus'),
    diskMb: atMost(asked.disk_mb, config.defaultDiskMb, config.maxDiskMb, 'limits/disk_mb'),
    pids: atMost(asked.pids, config.defaultPids, config.maxPids, 'limits/pids'),
    outputBytes: atMost(
      asked.output_bytes,
      config.defaultOutputBytes,
      config.maxOutputBytes,
      'limits/output_bytes',
    ),
  };
}

function atMost(asked: number | undefined, fallback: number, maximum: number, field: string): number {
  const value = asked ?? fallback;
  if (value > maximum)
    throw new GlasshouseError(
      'limit_exceeded',
      `The value is above the maximum of this server, ${maximum}.`,
      {
        field,
      },
    );
  return value;
}

type FileOfBody = NonNullable<RunBody['files']>[number];

function resolveFiles(files: readonly FileOfBody[], limits: Limits): readonly InputFile[] {
  for (const [index, file] of files.entries()) checkWorkspacePath(file.path, `files/${index}/path`);
  checkPathsTogether(files.map((file) => file.path));
  const resolved = files.map((file, index) => ({
    path: file.path,
    content: decodeContent(file, `files/${index}/content`),
    executable: file.executable ?? false,
  }));
  const totalBytes = resolved.reduce((sum, file) => sum + file.content.length, 0);
  if (totalBytes > limits.diskMb * BYTES_PER_MIB)
    throw new GlasshouseError(
      'limit_exceeded',
      `The files are larger than the workspace (${limits.diskMb} MiB); raise limits.disk_mb.`,
      { field: 'files' },
    );
  return resolved;
}

function decodeContent(file: FileOfBody, field: string): Uint8Array {
  if (file.encoding === 'base64') return decodeBase64(file.content, field);
  checkWellFormed(file.content, field);
  return Buffer.from(file.content, 'utf8');
}

/** RFC 4648 section 4, strictly: Node.js ignores what it does not understand, so the way back must fit. */
function decodeBase64(text: string, field: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text)
    throw new GlasshouseError('invalid_request', 'The content is not base64 with padding (RFC 4648, 4).', {
      field,
    });
  return bytes;
}

function resolveStdin(text: string | undefined): StdinPlan {
  if (text === undefined || text === '') return 'closed';
  checkWellFormed(text, 'stdin');
  return once(Buffer.from(text, 'utf8'));
}

// An async iterable is what the engine takes; there is nothing to wait for here.
// eslint-disable-next-line @typescript-eslint/require-await
async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
