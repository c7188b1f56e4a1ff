import { setTimeout as delay } from 'node:timers/promises';

import {
  type ExecutionBackend,
  type ExecutionHandle,
  type ExecutionResult,
  type ExecutionSpec,
  type GuestOrigin,
} from '../backends/backend.js';
import { asGlasshouseError, type GlasshouseError } from '../base/errors.js';
import { type Observation } from './observation.js';
import { type Interruption, type Outcome, outcomeOf, outcomeOfFailedStart } from './outcome.js';
import { OutputCapture } from './output-capture.js';
import { type ExecutionRequest } from './request.js';
import { HashedStdin } from './hashed-stdin.js';

/** Of a program that never ran: no snapshot had part in it. */
const NO_ORIGIN: GuestOrigin = { start: 'cold', snapshot: null };
/** Between the polite request to end, at the deadline, and the end by force. */
const TERMINATION_GRACE_MS = 500;

/** One program, ended; its backend still holds what it left until dispose. */
export interface EndedExecution extends AsyncDisposable {
  readonly outcome: Outcome;
  /** Null when the program never ran. */
  readonly result: ExecutionResult | null;
  readonly bootMs: number;
  readonly bootStages: Readonly<Record<string, number>>;
  readonly origin: GuestOrigin;
  readonly capture: OutputCapture;
  /** sha256 of what the program was given on stdin; null when it was inherited. */
  readonly stdinSha256: string | null;
}

/**
 * One whole run: start, the race of all endings (the program's own, the deadline, too much output, the caller's
 * abort), kill where needed. `deadlineMs` is what is left of the time of the whole request. The first ending wins; everything hangs on one AbortController. Never rejects for
 * anything that the program or the backend did.
 */
export async function runOnce(
  backend: ExecutionBackend,
  request: ExecutionRequest,
  executionId: string,
  deadlineMs: number | null,
  signal: AbortSignal,
  observation: Observation,
): Promise<EndedExecution> {
  const interruption = new InterruptionController(signal, request.onInterrupted);
  interruption.interruptAfter(deadlineMs, 'deadline');
  const capture = new OutputCapture(request.capture, request.listener, () => {
    interruption.interrupt('output_limit');
  });
  const stdin = new HashedStdin(request.stdin);
  const spec = specOf(request, executionId, capture, stdin);
  let handle: ExecutionHandle;
  try {
    handle = await start(backend, spec, interruption.signal, observation);
  } catch (error) {
    interruption.release();
    return neverRan(outcomeOfFailedStart(asGlasshouseError(error), interruption.cause), capture, stdin);
  }
  try {
    interruption.interruptAfter(request.timeoutMs, 'timeout');
    void handle.programEnded.then(() => {
      interruption.stopClock();
    });
    const ending = new Ending(backend, handle, interruption);
    request.onStarted?.({
      executionId,
      signal: (name) => backend.signal(handle, name),
      kill: () => backend.kill(handle),
    });
    const result = await backend.wait(handle);
    await ending.done();
    return {
      outcome: outcomeOf(result.termination, interruption.cause),
      result,
      bootMs: handle.bootMs,
      bootStages: handle.bootStages,
      origin: handle.origin,
      capture,
      stdinSha256: stdin.sha256(),
      [Symbol.asyncDispose]: () => backend.cleanup(handle),
    };
  } catch (error) {
    await backend.cleanup(handle);
    return neverRan(outcomeOfFailedStart(asGlasshouseError(error), interruption.cause), capture, stdin);
  } finally {
    interruption.release();
  }
}

/** Starts the program under observation, or, where that is allowed and cannot be, without it. */
async function start(
  backend: ExecutionBackend,
  spec: ExecutionSpec,
  signal: AbortSignal,
  observation: Observation,
): Promise<ExecutionHandle> {
  try {
    return await backend.start({ ...spec, hold: observation.hold }, signal);
  } catch (error) {
    if (!(await observation.mayGoOn(asGlasshouseError(error)))) throw error;
    return backend.start(spec, signal);
  }
}

/** The one AbortController of a run. Its reason is the first interruption. */
class InterruptionController {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  #cause: Interruption | null = null;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #onInterrupted: (() => void) | null;
  readonly #cancel = (): void => {
    this.interrupt('canceled');
  };

  constructor(outer: AbortSignal, onInterrupted: (() => void) | null) {
    this.#outer = outer;
    this.#onInterrupted = onInterrupted;
    if (outer.aborted) this.#cancel();
    else outer.addEventListener('abort', this.#cancel, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get cause(): Interruption | null {
    return this.#cause;
  }

  interrupt(cause: Interruption): void {
    if (this.#cause !== null) return;
    this.#cause = cause;
    this.#controller.abort(cause);
    this.#onInterrupted?.();
  }

  interruptAfter(milliseconds: number | null, cause: 'timeout' | 'deadline'): void {
    if (milliseconds === null) return;
    const timer = setTimeout(() => {
      this.interrupt(cause);
    }, milliseconds);
    this.#timers.push(timer);
  }

  /** The deadlines no longer count: the program met them. */
  stopClock(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** Calls back at once when the run was already interrupted. */
  onInterrupt(callback: (cause: Interruption) => void): void {
    const fire = (): void => {
      if (this.#cause !== null) callback(this.#cause);
    };
    if (this.signal.aborted) fire();
    else this.signal.addEventListener('abort', fire, { once: true });
  }

  /** The run is over: nothing can interrupt it any more. */
  release(): void {
    this.stopClock();
    this.#outer.removeEventListener('abort', this.#cancel);
  }
}

/** Ends the program when the run is interrupted. */
class Ending {
  readonly #backend: ExecutionBackend;
  readonly #handle: ExecutionHandle;
  #settled: Promise<unknown> = Promise.resolve(null);

  constructor(backend: ExecutionBackend, handle: ExecutionHandle, interruption: InterruptionController) {
    this.#backend = backend;
    this.#handle = handle;
    interruption.onInterrupt((cause) => {
      this.#settled = this.#end(cause).then(
        () => null,
        (error: unknown) => error,
      );
    });
  }

  /** Rejects with what went wrong while ending the program, if anything did. */
  async done(): Promise<void> {
    const error = await this.#settled;
    if (error !== null) throw asGlasshouseError(error);
  }

  /** A deadline is announced with SIGTERM, so that a program can save what it has; the other causes are final. */
  async #end(cause: Interruption): Promise<void> {
    if (cause === 'timeout' || cause === 'deadline') {
      await this.#backend.signal(this.#handle, 'SIGTERM');
      await this.#endedWithin(TERMINATION_GRACE_MS);
    }
    await this.#backend.kill(this.#handle);
  }

  async #endedWithin(milliseconds: number): Promise<void> {
    const grace = new AbortController();
    const pause = delay(milliseconds, undefined, { signal: grace.signal }).catch((error: unknown) => {
      if (!grace.signal.aborted) throw error;
    });
    await Promise.race([this.#backend.wait(this.#handle), pause]);
    grace.abort();
  }
}

function specOf(
  request: ExecutionRequest,
  executionId: string,
  capture: OutputCapture,
  stdin: HashedStdin,
): ExecutionSpec {
  return {
    executionId,
    program: request.program,
    environment: request.environment,
    inputFiles: request.inputFiles,
    stdin: stdin.plan,
    stdout: request.stdout,
    stderr: request.stderr,
    sink: capture,
    limits: request.limits,
    hold: null,
    fresh: request.fresh,
  };
}

function neverRan(outcome: Outcome, capture: OutputCapture, stdin: HashedStdin): EndedExecution {
  return {
    outcome,
    result: null,
    bootMs: 0,
    bootStages: {},
    origin: NO_ORIGIN,
    capture,
    stdinSha256: stdin.sha256(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** An execution that could not even be tried. */
export function notStarted(request: ExecutionRequest, error: GlasshouseError): EndedExecution {
  const capture = new OutputCapture(request.capture, null, () => undefined);
  return neverRan(outcomeOfFailedStart(error, null), capture, new HashedStdin(request.stdin));
}
