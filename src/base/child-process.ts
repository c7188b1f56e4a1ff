import { spawn, type ChildProcess } from 'node:child_process';
import { type Writable } from 'node:stream';

import { GlasshouseError, systemErrorCode } from './errors.js';

/** How long a child may take to clean up between SIGTERM and SIGKILL, in milliseconds. */
const TERMINATION_GRACE_MS = 3_000;
/** How long output is still awaited after the child has exited, when something it started holds the pipes. */
const DRAIN_GRACE_MS = 500;
const DEFAULT_MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

export interface RunOptions {
  /** Ends the child and everything in its process group. */
  readonly signal?: AbortSignal;
  readonly cwd?: string;
  /** The complete environment; the one of this process when left out. */
  readonly env?: NodeJS.ProcessEnv;
  /** What the child reads; it reads end of file at once when left out. */
  readonly stdin?: Uint8Array;
  /** Most bytes of stdout and stderr together; 16 MiB when left out. */
  readonly maxOutputBytes?: number;
  /** No limit when left out. */
  readonly timeoutMs?: number;
}

export interface CompletedProcess {
  /** Null when a signal ended the child. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/**
 * Sends SIGKILL to a child, if there is one: Node.js sends it to our whole process group (kill(2), pid 0) for a child that
 * could not be started, until it has said so.
 */
export function killChild(child: ChildProcess): void {
  if (child.pid !== undefined) child.kill('SIGKILL');
}

/**
 * Runs a program without a shell, in a process group of its own, and resolves when it has ended, whatever its
 * exit code. Nothing that it started in its group survives.
 *
 * @throws GlasshouseError `tool_missing` (no such program), `tool_failed` (could not be started, too much
 * output, took longer than `timeoutMs`), `canceled` (the signal was aborted).
 */
export async function runToCompletion(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CompletedProcess> {
  if (options.signal?.aborted === true) throw canceled(command, options.signal.reason);
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const run = new RunningChild(command, child, options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES);
  const onAbort = (): void => {
    run.fail(canceled(command, options.signal?.reason));
  };
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const { timeoutMs } = options;
  const deadline =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          run.fail(new GlasshouseError('tool_failed', `${command} did not end within ${timeoutMs} ms.`));
        }, timeoutMs);
  // A child that ends without reading its input breaks the pipe; its exit code tells what happened.
  // One that could not be started for want of descriptors has no streams.
  const stdin = child.stdin as Writable | undefined;
  stdin?.on('error', () => undefined);
  stdin?.end(options.stdin);
  try {
    return await run.completed;
  } finally {
    clearTimeout(deadline);
    options.signal?.removeEventListener('abort', onAbort);
  }
}

/**
 * Like runToCompletion(), for programs whose failure is ours.
 *
 * @throws GlasshouseError additionally `tool_failed`, with the end of stderr, for any exit but 0.
 */
export async function runOrThrow(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CompletedProcess> {
  const completed = await runToCompletion(command, args, options);
  if (completed.exitCode === 0) return completed;
  const ending =
    completed.signal === null ? `exit code ${String(completed.exitCode)}` : `signal ${completed.signal}`;
  throw new GlasshouseError('tool_failed', `${command} ended with ${ending}: ${lastLines(completed.stderr)}`);
}

/** Collects the output of one child and makes sure that its process group ends. */
class RunningChild {
  readonly completed: Promise<CompletedProcess>;
  readonly #command: string;
  readonly #child: ChildProcess;
  readonly #maxOutputBytes: number;
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  #outputBytes = 0;
  #failure: GlasshouseError | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(command: string, child: ChildProcess, maxOutputBytes: number) {
    this.#command = command;
    this.#child = child;
    this.#maxOutputBytes = maxOutputBytes;
    child.stdout?.on('data', (chunk: Buffer) => {
      this.#collect(this.#stdout, chunk);
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#collect(this.#stderr, chunk);
    });
    this.completed = this.#waitForEnd();
  }

  /** Ends the group with SIGTERM, later SIGKILL; `completed` rejects with the first failure. */
  fail(failure: GlasshouseError): void {
    if (this.#failure !== null) return;
    this.#failure = failure;
    this.#killGroup('SIGTERM');
    this.#timer = setTimeout(() => {
      this.#killGroup('SIGKILL');
    }, TERMINATION_GRACE_MS);
  }

  #collect(into: Buffer[], chunk: Buffer): void {
    if (this.#failure !== null) return;
    this.#outputBytes += chunk.length;
    if (this.#outputBytes > this.#maxOutputBytes) {
      const limit = this.#maxOutputBytes;
      this.fail(new GlasshouseError('tool_failed', `${this.#command} wrote more than ${limit} bytes.`));
      return;
    }
    into.push(chunk);
  }

  #waitForEnd(): Promise<CompletedProcess> {
    return new Promise((resolve, reject) => {
      this.#child.once('error', (error) => {
        clearTimeout(this.#timer);
        reject(notStarted(this.#command, error));
      });
      this.#child.once('exit', () => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => {
          this.#child.stdout?.destroy();
          this.#child.stderr?.destroy();
        }, DRAIN_GRACE_MS);
      });
      this.#child.once('close', (exitCode, signal) => {
        clearTimeout(this.#timer);
        this.#killGroup('SIGKILL');
        if (this.#failure === null) {
          resolve({
            exitCode,
            signal,
            stdout: Buffer.concat(this.#stdout),
            stderr: Buffer.concat(this.#stderr),
          });
        } else {
          reject(this.#failure);
        }
      });
    });
  }

  #killGroup(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch (error) {
      // ESRCH: everything in the group has ended already, which is what was wanted. EPERM: what is left of it
      // has become another user, as below sudo; its own parent ends it.
      const code = systemErrorCode(error);
      if (code !== 'ESRCH' && code !== 'EPERM') throw error;
    }
  }
}

function notStarted(command: string, error: Error): GlasshouseError {
  if (systemErrorCode(error) === 'ENOENT') {
    return new GlasshouseError('tool_missing', `${command} is not installed.`, { cause: error });
  }
  return new GlasshouseError('tool_failed', `${command} could not be started: ${error.message}`, {
    cause: error,
  });
}

function canceled(command: string, reason: unknown): GlasshouseError {
  return new GlasshouseError('canceled', `${command} was canceled.`, { cause: reason });
}

/** The end of what a tool wrote, short enough for a message. */
function lastLines(output: Buffer): string {
  const text = output.subarray(-2_000).toString('utf8').trim();
  return text === '' ? 'it wrote nothing to stderr.' : text.split('\n').slice(-8).join('\n');
}
