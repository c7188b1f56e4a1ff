import { constants } from 'node:os';

import { writeFileAtomically } from '../base/atomic-file.js';
import { asGlasshouseError } from '../base/errors.js';
import { hasControllingTerminal } from '../base/terminal.js';
import { type CompletedExecution } from '../engine/completed.js';
import { type ExecutionControl, type ExecutionRequest } from '../engine/request.js';
import { type Console } from './console.js';
import { EXIT_CODES, SIGNAL_BASE } from './exit-codes.js';
import { ForwardedOutput } from './forward-output.js';
import { type ObservationRequest } from './observation-options.js';
import { type RunObservation } from './run-observation.js';
import { captureStreams, planStreams, type RunStreams } from './run-streams.js';
import { type Services } from './services.js';
import { standardInput } from './standard-input.js';
import { forwardSignals } from './terminal-signals.js';

export interface RunOptions {
  readonly argv: readonly [string, ...string[]];
  readonly backend: string;
  /** Null: no deadline. */
  readonly timeoutMs: number | null;
  /** True: boot a machine for it, even where one could be cloned. */
  readonly cold: boolean;
  /** Where the receipt goes; null: only into the store. */
  readonly receiptFile: string | null;
  readonly files: readonly string[];
  /** For a command in a guest all that it gets; for one on this machine in addition to ours. */
  readonly environment: Readonly<Record<string, string>>;
  readonly observation: ObservationRequest;
}

/** Bytes of each stream that are stored beside the receipt; the hashes are of all of it. */
const KEPT_OUTPUT_BYTES = 1024 * 1024;

/** `glasshouse run`: resolves to the exit code. */
export async function run(services: Services, console: Console, options: RunOptions): Promise<number> {
  const program = new ProgramSignals();
  const backend = await services.backend(options.backend, 'command');
  await backend.prepare(program.cancellation);
  const here = backend.describe().isolation === 'none';
  using streams = here ? planStreams() : captureStreams();
  await using output = new ForwardedOutput();
  await using observation = await observationOf(services, console, options.observation);
  await using _signals = forwardSignals({
    send: (signal) => program.send(signal),
    kill: () => program.kill(),
    terminal: here && hasControllingTerminal(),
  });
  await using stdin = standardInput();
  const request: ExecutionRequest = {
    client: 'command line',
    program: { kind: 'command', argv: options.argv },
    environment: here ? { ...ownEnvironment(), ...options.environment } : options.environment,
    inputFiles: await inputFilesOf(options.files),
    stdin: here ? 'inherit' : stdin,
    ...planOf(streams, options.observation.follow !== null),
    capture: { keepBytes: KEPT_OUTPUT_BYTES, endAfterBytes: null },
    listener: output,
    // What the program has written is worth a wait, also after it was ended.
    onInterrupted: null,
    onQueued: null,
    onStarted: (control) => {
      program.control = control;
    },
    timeoutMs: options.timeoutMs,
    deadlineMs: null,
    fresh: options.cold,
    limits: limitsOf(services),
    observation: observation?.plan ?? null,
  };
  const engine = await services.engine(backend);
  const completed = await engine.run(request, program.cancellation);
  observation?.explain();
  explain(console, options, completed);
  await writeReceipt(services, console, options.receiptFile, completed.receiptId);
  return exitCodeOf(completed);
}

/** Loaded only where it is asked for: a run without it must not pay for it. */
async function observationOf(
  services: Services,
  console: Console,
  request: ObservationRequest,
): Promise<RunObservation | null> {
  if (request.profile === 'none') return null;
  const { RunObservation } = await import('./run-observation.js');
  return RunObservation.open(services, console, request);
}

/** Signals for a program that may not run yet: until it does, whatever would end it cancels the run. */
class ProgramSignals {
  control: ExecutionControl | null = null;
  readonly #cancel = new AbortController();

  get cancellation(): AbortSignal {
    return this.#cancel.signal;
  }

  async send(signal: NodeJS.Signals): Promise<void> {
    if (this.control !== null) await this.control.signal(signal);
    else if (signal !== 'SIGWINCH' && signal !== 'SIGCONT') this.#cancel.abort();
  }

  async kill(): Promise<void> {
    if (this.control !== null) await this.control.kill();
    else this.#cancel.abort();
  }
}

/** What is shown live goes to our stderr: a file that the command writes to as well then has more than its bytes. */
function planOf(
  streams: RunStreams,
  isFollowed: boolean,
): Pick<ExecutionRequest, 'stdout' | 'stderr' | 'inheritedStdout' | 'inheritedStderr' | 'streamsCombined'> {
  const { stdout, stderr, inheritedStdout, inheritedStderr, streamsCombined } = streams;
  return {
    stdout,
    stderr,
    inheritedStdout: isFollowed && streamsCombined ? null : inheritedStdout,
    inheritedStderr: isFollowed ? null : inheritedStderr,
    streamsCombined,
  };
}

async function inputFilesOf(names: readonly string[]): Promise<ExecutionRequest['inputFiles']> {
  if (names.length === 0) return [];
  return (await import('./input-files.js')).readInputFiles(names);
}

function ownEnvironment(): Readonly<Record<string, string>> {
  const entries = Object.entries(process.env);
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

function limitsOf({ config }: Services): ExecutionRequest['limits'] {
  return {
    memoryMb: config.defaultMemoryMb,
    cpus: config.defaultCpus,
    diskMb: config.defaultDiskMb,
    pids: config.defaultPids,
    outputBytes: config.maxOutputBytes,
  };
}

/** The command's own exit code is answered even when its receipt cannot be written; the store has it. */
async function writeReceipt(
  services: Services,
  console: Console,
  file: string | null,
  receiptId: string,
): Promise<void> {
  if (file === null) return;
  try {
    await writeFileAtomically(file, await services.bundle(receiptId));
  } catch (error) {
    const { message } = asGlasshouseError(error);
    console.note(`the receipt ${receiptId} is stored but could not be written to ${file}: ${message}`);
  }
}

function explain(console: Console, options: RunOptions, completed: CompletedExecution): void {
  switch (completed.status) {
    case 'timeout':
      console.note(`the command was ended after ${options.timeoutMs ?? 0} ms`);
      return;
    case 'oom':
      console.note('the command used up its memory and was ended');
      return;
    case 'ok':
      return;
    case 'error':
    case 'output_limit':
    case 'canceled':
    case 'infra_error':
      if (completed.error !== null) console.note(`${completed.error.message} [${completed.error.code}]`);
  }
}

/** As a shell would: the command's own code, 128 and the signal's number, and ours where nothing else is known. */
export function exitCodeOf(completed: CompletedExecution): number {
  if (completed.status === 'infra_error') return EXIT_CODES.failure;
  if (completed.status === 'timeout') return EXIT_CODES.timeout;
  if (completed.exitCode !== null) return completed.exitCode;
  const signal = constants.signals[completed.signal as NodeJS.Signals] as number | undefined;
  if (signal !== undefined) return SIGNAL_BASE + signal;
  return completed.status === 'canceled' ? SIGNAL_BASE + constants.signals.SIGINT : EXIT_CODES.failure;
}
