import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { closeSync } from 'node:fs';

import { GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { type OwnEnd, type Pipe, closePipe, makePipes } from '../../base/pipe.js';
import { type ExecutionSpec } from '../backend.js';
import { interpreterOf } from './executable-format.js';
import { sharesProcessGroup } from './process-group.js';
import { MARKER_VARIABLE } from './process-tree.js';

/** A program that runs, with our ends of its pipes; the caller owns all of it. */
export interface LaunchedProgram {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ownSession: boolean;
  /** Null where the program has something else than a pipe to us. */
  readonly stdin: number | null;
  readonly stdout: number | null;
  readonly stderr: number | null;
}

interface Pipes {
  readonly stdin: Pipe | null;
  readonly stdout: Pipe | null;
  readonly stderr: Pipe | null;
}

/** The pipes that `spec` asks for. The caller owns them. */
export async function makePipesFor(spec: ExecutionSpec): Promise<Pipes> {
  const wanted = {
    stdin: typeof spec.stdin === 'object',
    stdout: spec.stdout === 'capture',
    stderr: spec.stderr === 'capture',
  };
  const ends: OwnEnd[] = [];
  if (wanted.stdin) ends.push('write');
  if (wanted.stdout) ends.push('read');
  if (wanted.stderr) ends.push('read');
  const made = await makePipes(ends);
  const take = (want: boolean): Pipe | null => (want ? (made.shift() ?? null) : null);
  return { stdin: take(wanted.stdin), stdout: take(wanted.stdout), stderr: take(wanted.stderr) };
}

export function closePipes(pipes: Pipes): void {
  for (const pipe of listPipes(pipes)) closePipe(pipe);
}

/**
 * Executes `file`. Resolves when the kernel has replaced the child by it. Takes over `pipes`; when it rejects, they are
 * closed and nothing runs.
 */
export async function launch(
  spec: ExecutionSpec,
  file: string,
  argv: readonly [string, ...string[]],
  pipes: Pipes,
  signal: AbortSignal,
): Promise<LaunchedProgram> {
  const ownSession = !sharesProcessGroup(spec.stdin);
  const stdout = pipes.stdout?.theirs ?? 1;
  const stderr = spec.stderr === 'with_stdout' ? stdout : (pipes.stderr?.theirs ?? 2);
  try {
    const options: SpawnOptions = {
      env: programEnvironment(spec),
      stdio: [pipes.stdin?.theirs ?? (spec.stdin === 'inherit' ? 0 : 'ignore'), stdout, stderr],
      detached: ownSession,
    };
    const { child, pid } =
      spec.hold === null
        ? await launchDirectly(file, argv, options)
        : await (await import('./held-launch.js')).launchHeld(spec.hold, { file, argv, options }, signal);
    for (const pipe of listPipes(pipes)) closeSync(pipe.theirs);
    return {
      child,
      pid,
      ownSession,
      stdin: pipes.stdin?.ours ?? null,
      stdout: pipes.stdout?.ours ?? null,
      stderr: pipes.stderr?.ours ?? null,
    };
  } catch (error) {
    closePipes(pipes);
    throw launchError(error, file);
  }
}

async function launchDirectly(
  file: string,
  argv: readonly [string, ...string[]],
  options: SpawnOptions,
): Promise<{ readonly child: ChildProcess; readonly pid: number }> {
  const child = spawn(file, argv.slice(1), { ...options, argv0: argv[0] });
  return { child, pid: await spawned(child) };
}

/** Node.js has executed the program, or knows why not, when spawn() returns: only the report comes later. */
function spawned(child: ChildProcess): Promise<number> {
  if (child.pid !== undefined) return Promise.resolve(child.pid);
  return new Promise((_, reject) => child.once('error', reject));
}

function programEnvironment(spec: ExecutionSpec): NodeJS.ProcessEnv {
  return {
    // Node.js passes its own value on to every child unless the name is there; undefined keeps it out.
    NODE_V8_COVERAGE: undefined,
    ...spec.environment,
    [MARKER_VARIABLE]: spec.executionId,
  };
}

function listPipes(pipes: Pipes): Pipe[] {
  return [pipes.stdin, pipes.stdout, pipes.stderr].filter((pipe) => pipe !== null);
}

function launchError(cause: unknown, file: string): GlasshouseError {
  if (cause instanceof GlasshouseError) return cause;
  const name = JSON.stringify(file);
  switch (systemErrorCode(cause) ?? '') {
    case 'ENOENT': {
      const interpreter = interpreterOf(file) ?? 'its dynamic loader';
      return notExecutable(`${name} cannot be executed: ${interpreter} does not exist`, cause);
    }
    case 'E2BIG':
      return notExecutable(`${name} cannot be executed: arguments and environment are too long`, cause);
    case 'EAGAIN':
    case 'ENOMEM':
    case 'EMFILE':
    case 'ENFILE':
      return new GlasshouseError('backend_unavailable', 'This machine has no room for another process', {
        cause,
      });
    case 'ERR_INVALID_ARG_VALUE':
      return new GlasshouseError('invalid_request', 'An argument or environment variable has a NUL', {
        cause,
      });
    default:
      return notExecutable(`${name} cannot be executed: ${String(cause)}`, cause);
  }
}

function notExecutable(message: string, cause: unknown): GlasshouseError {
  return new GlasshouseError('command_not_executable', message, { cause });
}
