import { isUtf8 } from 'node:buffer';
import { GlasshouseError } from '../base/errors.js';
import { type CapturedStream, type CompletedExecution, type CompletedFile } from '../engine/completed.js';
import { type Problem, problem, publicDetail } from './problem.js';
import { type RunAnswer } from './run-schema.js';

/**
 * The answer to a run that ended in a way that says something about the program.
 * @see problemOfExecution for the others
 */
export function runAnswer(execution: CompletedExecution): RunAnswer {
  const stdout = captured(execution.stdout);
  const stderr = captured(execution.stderr);
  const { timings } = execution;
  return {
    receipt_id: execution.receiptId,
    execution_id: execution.executionId,
    status: execution.status,
    exit_code: execution.exitCode,
    signal: execution.signal,
    stdout: textOf(stdout.kept),
    stderr: textOf(stderr.kept),
    stdout_bytes: stdout.totalBytes,
    stdout_truncated: stdout.truncated,
    ...(isUtf8(stdout.kept) ? {} : { stdout_base64: base64Of(stdout.kept) }),
    stderr_bytes: stderr.totalBytes,
    stderr_truncated: stderr.truncated,
    ...(isUtf8(stderr.kept) ? {} : { stderr_base64: base64Of(stderr.kept) }),
    duration_ms: roundedMs(execution.durationMs),
    timings: {
      queue_ms: roundedMs(timings.queueMs),
      boot_ms: roundedMs(timings.bootMs),
      run_ms: roundedMs(timings.runMs),
      collect_ms: roundedMs(timings.collectMs),
      receipt_ms: roundedMs(timings.receiptMs),
    },
    files: execution.files.map(fileAnswer),
    files_complete: execution.filesComplete,
    ...(execution.error === null ? {} : { error: execution.error }),
  };
}

/** The problem when an execution ended through no fault of its program; null when it is the program's own end. */
export function problemOfExecution(execution: CompletedExecution): Problem | null {
  if (execution.status !== 'infra_error' && execution.status !== 'canceled') return null;
  const fallback = execution.status === 'canceled' ? 'canceled' : 'internal';
  const { code, message } = execution.error ?? { code: fallback, message: 'The execution was canceled.' };
  return problem(code, publicDetail(code, message), {
    extensions: {
      receipt_id: execution.receiptId,
      execution_id: execution.executionId,
      execution_status: execution.status,
    },
  });
}

function captured(stream: CapturedStream | null): CapturedStream {
  if (stream === null)
    throw new GlasshouseError('internal', 'The engine did not capture a stream that it was asked to.');
  return stream;
}

function fileAnswer(file: CompletedFile): RunAnswer['files'][number] {
  return {
    path: textOf(file.path),
    ...(isUtf8(file.path) ? {} : { path_base64: base64Of(file.path) }),
    size: file.sizeBytes,
    mode: (file.mode & 0o7777).toString(8).padStart(4, '0'),
    sha256: file.sha256,
    omitted: file.omitted,
    ...(file.inline === null ? {} : inlineContent(file.inline)),
  };
}

function inlineContent(bytes: Uint8Array): { content: string; encoding: 'utf8' | 'base64' } {
  return isUtf8(bytes)
    ? { content: textOf(bytes), encoding: 'utf8' }
    : { content: base64Of(bytes), encoding: 'base64' };
}

/** Text in which U+FFFD stands for what is not UTF-8; a byte order mark stays. */
function textOf(bytes: Uint8Array): string {
  return view(bytes).toString('utf8');
}

function base64Of(bytes: Uint8Array): string {
  return view(bytes).toString('base64');
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Milliseconds to three decimals: finer is noise. */
function roundedMs(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
