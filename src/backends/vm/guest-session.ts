import { randomBytes } from 'node:crypto';

import { GlasshouseError } from '../../base/errors.js';
import { type GuestConnection } from '../../guest-link/connection.js';
import { type GuestMessage } from '../../guest-link/guest-message.js';
import { type HostMessage } from '../../guest-link/host-message.js';
import { type ExecutionSpec, type InputFile, type Program, PYTHON_CODE_FILE } from '../backend.js';

const ENTROPY_BYTES = 64;
const CHUNK_BYTES = 65_536;
const NO_PROGRAM: Program = { kind: 'python', code: '', args: [] };
const MIB = 1024 * 1024;
/** Files that a rehearsal may leave: its own code, and what it tries out. */
export const REHEARSAL_FILES = 2;
/** execve(2) errors that say something about the command and not about us. */
const ENOENT = 2;
const ENOTDIR = 20;
const NOT_EXECUTABLE: readonly number[] = [/* ENOEXEC */ 8, /* EACCES */ 13, /* EISDIR */ 21];

/** What every program in a guest finds in its environment, unless the request says otherwise. */
const GUEST_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  HOME: '/workspace',
  LANG: 'C.UTF-8',
  USER: 'sandbox',
};

/** argv as the guest executes it. */
export function guestArguments(program: Program): readonly string[] {
  return program.kind === 'python'
    ? ['python3', `/workspace/${PYTHON_CODE_FILE}`, ...program.args]
    : program.argv;
}

/** All files that go into the workspace, the program's code among them. */
export function guestFiles(spec: ExecutionSpec): readonly InputFile[] {
  if (spec.program.kind !== 'python') return spec.inputFiles;
  return [
    { path: PYTHON_CODE_FILE, content: Buffer.from(spec.program.code), executable: false },
    ...spec.inputFiles,
  ];
}

/** What decides how Python itself starts: an interpreter that is already up cannot heed it any more. */
const READ_BY_THE_INTERPRETER = /^(PYTHON|LC_|LD_|LANG|GLIBC_|MALLOC_|TZ$)/;
/** Its user's own modules (Python's `site`), which it looks for when it starts. */
const USER_SITE = /(^|\/)\.local\//;
/** The end of a zip archive (APPNOTE.TXT, 4.3.16): Python runs what is in the archive, and not the text before it. */
const END_OF_ARCHIVE = 'PK\x05\x06';

/** True when a held interpreter does the same as a new one would. */
export function suitsHeldInterpreter(spec: ExecutionSpec): boolean {
  return (
    spec.program.kind === 'python' &&
    !spec.program.code.includes(END_OF_ARCHIVE) &&
    !spec.inputFiles.some((file) => USER_SITE.test(file.path)) &&
    !Object.keys(spec.environment).some((name) => READ_BY_THE_INTERPRETER.test(name))
  );
}

/** How the description of a program ends: docs/guest-link.md, "Order". */
export type ProgramOrder = 'start' | 'release';

/** A whole execution, up to the order. */
export function* describeExecution(
  spec: ExecutionSpec,
  maxFiles: number,
  order: ProgramOrder,
): Generator<HostMessage, void> {
  yield* describeCircumstances({ ...spec.limits, maxFiles });
  for (const value of guestArguments(spec.program)) yield { type: 'argument', value };
  yield* describeEnvironment(spec.environment);
  for (const file of guestFiles(spec)) yield* describeFile(file);
  yield { type: order };
  // With the order and not after it: each message interrupts the program that it reaches.
  if (spec.stdin === 'closed') yield { type: 'stdin_end' };
}

/** An interpreter that waits for its release; `memoryMb` and `pids` bound it until then. */
export function* describeHeldInterpreter(memoryMb: number, pids: number): Generator<HostMessage, void> {
  yield* describeCircumstances({ memoryMb, pids, maxFiles: 1, diskMb: 1 });
  for (const value of guestArguments(NO_PROGRAM)) yield { type: 'argument', value };
  yield* describeEnvironment({ GLASSHOUSE_HOLD: '1' });
  yield { type: 'hold' };
}

/** A program of ours that a held interpreter runs to its end before anything counts. */
export function* describeRehearsal(
  code: string,
  memoryMb: number,
  pids: number,
): Generator<HostMessage, void> {
  yield* describeCircumstances({ memoryMb, pids, maxFiles: REHEARSAL_FILES, diskMb: 1 });
  for (const value of guestArguments(NO_PROGRAM)) yield { type: 'argument', value };
  yield* describeEnvironment({});
  yield* describeFile({ path: PYTHON_CODE_FILE, content: Buffer.from(code), executable: false });
  yield { type: 'rehearse' };
  yield { type: 'stdin_end' };
}

/** Every description begins with the time of now and fresh entropy, so that no two clones stay alike. */
function* describeCircumstances(
  limits: { readonly memoryMb: number; readonly pids: number; readonly diskMb: number } & {
    readonly maxFiles: number;
  },
): Generator<HostMessage, void> {
  yield { type: 'clock', nanoseconds: BigInt(Date.now()) * 1_000_000n };
  yield { type: 'entropy', bytes: randomBytes(ENTROPY_BYTES) };
  yield {
    type: 'limits',
    memoryBytes: limits.memoryMb * MIB,
    processes: limits.pids,
    outputFiles: limits.maxFiles,
    outputFileBytes: limits.diskMb * MIB,
  };
}

function* describeEnvironment(environment: Readonly<Record<string, string>>): Generator<HostMessage, void> {
  for (const [name, value] of Object.entries({ ...GUEST_ENVIRONMENT, ...environment })) {
    yield { type: 'environment', name, value };
  }
}

function* describeFile(file: InputFile): Generator<HostMessage, void> {
  const mode = file.executable ? 0o755 : 0o644;
  yield { type: 'file', mode, sizeBytes: file.content.length, path: file.path };
  for (let offset = 0; offset < file.content.length; offset += CHUNK_BYTES) {
    yield { type: 'file_data', bytes: file.content.subarray(offset, offset + CHUNK_BYTES) };
  }
}

/** What a refused start means for the caller. */
export function startFailure(
  message: Extract<GuestMessage, { type: 'start_failed' }>,
  spec: ExecutionSpec,
): GlasshouseError {
  const command = guestArguments(spec.program)[0] ?? '';
  if (message.stage === 'exec' && (message.errno === ENOENT || message.errno === ENOTDIR)) {
    return new GlasshouseError('command_not_found', `The guest has no command ${JSON.stringify(command)}.`);
  }
  if (message.stage === 'exec' && NOT_EXECUTABLE.includes(message.errno)) {
    return new GlasshouseError(
      'command_not_executable',
      `The guest cannot execute ${JSON.stringify(command)}.`,
    );
  }
  if (message.stage === 'input_file') {
    return new GlasshouseError(
      'limit_exceeded',
      `The input files do not fit into the workspace (errno ${message.errno}); ask for a larger disk_mb.`,
    );
  }
  return new GlasshouseError(
    'guest_setup_failed',
    `Guest init could not prepare the execution: ${message.stage.replaceAll('_', ' ')} failed with errno ${message.errno}.`,
  );
}

/**
 * Feeds stdin to a guest within the credit that it grants, so that a program that does not read holds up
 * nothing but its own input.
 */
export class StdinFeeder {
  readonly #connection: GuestConnection;
  #credit = 0;
  #stopped = false;
  #wake: (() => void) | null = null;
  #source: AsyncIterator<Uint8Array> | null = null;

  constructor(connection: GuestConnection) {
    this.#connection = connection;
  }

  grant(bytes: number): void {
    this.#credit += bytes;
    this.#wake?.();
  }

  /** Makes feed() return as soon as it can and lets go of the source. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#wake?.();
    // Not awaited: an async generator answers return() only after its pending next(), which may never come.
    this.#source?.return?.().catch(() => undefined);
  }

  /** Resolves when the source has ended, or after stop() as soon as the source says something. */
  async feed(source: AsyncIterable<Uint8Array>): Promise<void> {
    const iterator = source[Symbol.asyncIterator]();
    this.#source = iterator;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      await this.#sendChunk(next.value);
      if (this.#isStopped()) return;
    }
    if (!this.#isStopped()) await this.#connection.send({ type: 'stdin_end' });
  }

  /** A method, because the flag changes while the caller awaits. */
  #isStopped(): boolean {
    return this.#stopped;
  }

  async #sendChunk(chunk: Uint8Array): Promise<void> {
    for (let offset = 0; offset < chunk.length && !this.#isStopped();) {
      if (this.#credit === 0) {
        await this.#nextGrant();
        continue;
      }
      const length = Math.min(this.#credit, chunk.length - offset, CHUNK_BYTES);
      this.#credit -= length;
      await this.#connection.send({ type: 'stdin', bytes: chunk.subarray(offset, offset + length) });
      offset += length;
    }
  }

  #nextGrant(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }
}
