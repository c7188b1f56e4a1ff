import { constants } from 'node:os';

import { asGlasshouseError, type ErrorCode, GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { type GuestConnection } from '../../guest-link/connection.js';
import { violation } from '../../guest-link/frame.js';
import { type GuestMessage } from '../../guest-link/guest-message.js';
import {
  type ExecutionHandle,
  type ExecutionResult,
  type ExecutionSpec,
  type GuestOrigin,
  type ResourceUsage,
  type Termination,
} from '../backend.js';
import { type BootDeadline } from './boot-deadline.js';
import { type Guest } from './guest.js';
import { describeExecution, startFailure, StdinFeeder, suitsHeldInterpreter } from './guest-session.js';
import { type VirtualMachine } from './machine.js';
import { OutputDelivery } from './output-delivery.js';
import { OutputFiles } from './output-files.js';

/** Files that a program may leave and have listed. */
export const MAX_OUTPUT_FILES = 1000;
const MIB = 1024 * 1024;
/** How often to look whether somebody stopped the monitor; two looks in a row count. */
const WATCH_INTERVAL_MS = 500;

export interface GuestTimeouts {
  /** One attempt to bring a guest up, from before its launch to the program's first instruction. */
  readonly bootMs: number;
  /** From a request to stop, or from the program's end, until all output must have arrived. */
  readonly collectMs: number;
}

/** What makes an execution fail even after the guest has reported its end. */
const VOIDING: readonly ErrorCode[] = ['guest_link_violation', 'disk_full'];

type Exited = Extract<GuestMessage, { type: 'exited' }>;

function signalName(number: number): `SIG${string}` {
  const known = Object.entries(constants.signals).find(([, value]) => value === number);
  return known === undefined ? `SIG${number}` : (known[0] as NodeJS.Signals);
}

function terminationOf(exited: Exited): Termination {
  if (exited.outOfMemory) return { kind: 'out_of_memory' };
  if (exited.signal !== 0) return { kind: 'signaled', signal: signalName(exited.signal) };
  return { kind: 'exited', exitCode: exited.exitCode };
}

/**
 * One program in one virtual machine, from guest init's first word to the machine's end. start() and
 * completion() belong to one caller; kill() and dispose may come at any time.
 */
export class GuestExecution implements ExecutionHandle, AsyncDisposable {
  readonly executionId: string;
  readonly programEnded: Promise<void>;
  bootMs = 0;
  bootStages: Readonly<Record<string, number>> = {};

  readonly origin: GuestOrigin;

  readonly #machine: VirtualMachine;
  readonly #spec: ExecutionSpec;
  readonly #timeouts: GuestTimeouts;
  readonly #connection: GuestConnection;
  readonly #stdin: StdinFeeder;
  readonly #outputFiles: OutputFiles;
  #completion: Promise<ExecutionResult> | null = null;
  #announceEnd: () => void = () => undefined;
  #startedAt = 0;
  #endedAt: number | null = null;
  #exited: Exited | null = null;
  #collected = false;
  /** kill() was called: the deadline that it set must not move when it is called again. */
  #stopping = false;
  #filesComplete = false;
  #deadline: NodeJS.Timeout | null = null;
  readonly #watch: NodeJS.Timeout;
  #seenStopped = false;
  /** Why we destroyed the machine ourselves; explains the silence that follows. */
  #verdict: GlasshouseError | null = null;
  readonly #delivery: OutputDelivery;

  /** Takes ownership of the guest. */
  constructor(guest: Guest, spec: ExecutionSpec, timeouts: GuestTimeouts, spoolDirectory: string) {
    this.executionId = spec.executionId;
    this.programEnded = new Promise((resolve) => {
      this.#announceEnd = resolve;
    });
    this.origin = guest.origin;
    this.#machine = guest.machine;
    this.#spec = spec;
    this.#timeouts = timeouts;
    this.#connection = guest.connection;
    this.#connection.boundOutput({ maxFiles: MAX_OUTPUT_FILES, maxFileBytes: spec.limits.diskMb * MIB });
    this.#stdin = new StdinFeeder(this.#connection);
    this.#outputFiles = new OutputFiles(spoolDirectory);
    this.#delivery = new OutputDelivery(spec.sink);
    this.#watch = setInterval(() => {
      this.#watchMonitor();
    }, WATCH_INTERVAL_MS);
  }

  /**
   * Resolves when the program runs. `launchedAt` (performance.now()) is when the machine was launched.
   * Rejects with `boot_timeout`, `guest_lost`, `guest_link_violation`, `vmm_stopped`, `canceled`, or what
   * guest init refused; the caller then disposes this object.
   */
  async start(launchedAt: number, deadline: BootDeadline): Promise<void> {
    const { signal } = deadline;
    const abort = (): void => {
      this.condemn(deadline.failure);
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      if (signal.aborted) abort();
      const ready = this.origin.start === 'cold' ? await this.#awaitBoot(launchedAt) : {};
      // Where the last stage ends the next begins: on a busy machine milliseconds pass between two looks at the clock.
      const readyAt = Object.values(ready).reduce((at, stage) => at + stage, launchedAt);
      const release = this.origin.start !== 'cold' && suitsHeldInterpreter(this.#spec);
      const started = this.#expect('started');
      const description = describeExecution(this.#spec, MAX_OUTPUT_FILES, release ? 'release' : 'start');
      const sent = this.#connection.sendAll(description);
      // A guest that refuses in the middle of it reads no further: its answer must not wait for the rest.
      await Promise.race([sent, started.then(() => sent)]);
      const sentAt = performance.now();
      await started;
      this.#startedAt = performance.now();
      this.bootMs = this.#startedAt - launchedAt;
      this.bootStages = { ...ready, request: sentAt - readyAt, guest: this.#startedAt - sentAt };
    } catch (error) {
      throw await this.#explain(error);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /**
   * Resolves when the program has ended and everything has been collected. Rejects only with the failure of the
   * sink.
   */
  completion(): Promise<ExecutionResult> {
    this.#completion ??= this.#complete();
    return this.#completion;
  }

  /** Only queued: whether the guest reads it is the guest's affair, and no caller of ours waits for that. */
  signal(number: number): void {
    if (this.#exited === null) void this.#connection.send({ type: 'signal', number });
  }

  /** Asks guest init to end the program, and ends the machine if it does not answer in time. */
  kill(): void {
    if (this.#collected || this.#stopping) return;
    this.#stopping = true;
    this.#setDeadline(
      this.#timeouts.collectMs,
      new GlasshouseError('guest_unresponsive', 'The guest did not answer a request to stop in time.'),
    );
    if (this.#exited === null) void this.#connection.send({ type: 'kill' });
  }

  /** Ends the machine for a reason of ours. */
  condemn(verdict: GlasshouseError): void {
    this.#verdict ??= verdict;
    this.#delivery.abandon();
    void this.#machine.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopTimers();
    this.#stdin.stop();
    this.#delivery.abandon();
    try {
      // A machine that did not end as it should is ended at once.
      if (this.#collected && this.#verdict === null) await this.#machine.takeStock();
      await this.#machine.destroy();
    } finally {
      await Promise.allSettled([this.#completion]);
      await this.#outputFiles[Symbol.asyncDispose]();
    }
  }

  async #awaitBoot(launchedAt: number): Promise<Readonly<Record<string, number>>> {
    const hello = await this.#expect('hello');
    const helloAt = performance.now();
    const kernelMs = Math.min(Number(hello.uptimeNs / 1000n) / 1000, helloAt - launchedAt);
    return { vmm: helloAt - launchedAt - kernelMs, kernel: kernelMs };
  }

  async #complete(): Promise<ExecutionResult> {
    const stdin = this.#spec.stdin;
    if (stdin === 'inherit') throw new GlasshouseError('internal', 'A virtual machine cannot inherit stdin.');
    // Not awaited: its source may stay silent for ever, and the program's end does not depend on it.
    if (stdin !== 'closed') {
      this.#stdin.feed(stdin).catch((error: unknown) => {
        this.condemn(new GlasshouseError('internal', 'The source of stdin failed.', { cause: error }));
      });
    }
    let lost: GlasshouseError | null = null;
    try {
      while (!this.#collected) {
        const message = await this.#connection.next();
        if (message === null)
          throw new GlasshouseError('guest_lost', 'The guest ended before it had reported.');
        await this.#handle(message);
      }
    } catch (error) {
      lost = await this.#explain(error);
    }
    this.#stopTimers();
    this.#stdin.stop();
    const collectedAt = performance.now();
    this.#endedAt ??= collectedAt;
    this.#announceEnd();
    // A virgin guest served one program: there is nothing in it to shut down. Dispose ends it, after the answer.
    if (this.#delivery.failure !== null) throw this.#delivery.failure;
    return this.#result(lost, this.#endedAt, collectedAt);
  }

  async #handle(message: GuestMessage): Promise<void> {
    switch (message.type) {
      case 'stdout':
      case 'stderr':
        await this.#delivery.write(message.type, message.bytes);
        return;
      case 'stdin_credit':
        this.#stdin.grant(message.bytes);
        return;
      case 'exited':
        this.#exited = message;
        this.#endedAt = performance.now();
        this.#announceEnd();
        this.#setDeadline(
          this.#timeouts.collectMs,
          new GlasshouseError('guest_unresponsive', 'The guest did not send its output files in time.'),
        );
        return;
      case 'output_file':
        this.#outputFiles.begin(message);
        return;
      case 'output_data':
        await this.#outputFiles.append(message.bytes);
        return;
      case 'output_end':
        this.#collected = true;
        this.#filesComplete = !message.tooManyFiles && !message.notAllRead;
        return;
      case 'hello':
      case 'held':
      case 'rehearsed':
      case 'started':
      case 'start_failed':
        throw new GlasshouseError('internal', `GuestOrder let ${message.type} through.`);
    }
  }

  #result(lost: GlasshouseError | null, endedAt: number, collectedAt: number): ExecutionResult {
    const exited = this.#exited;
    // A guest that broke the rules is not believed in anything it said before, and without room for what the
    // program left, its result cannot be handed over.
    const believed = lost !== null && VOIDING.includes(lost.code) ? null : exited;
    const fallback = lost ?? new GlasshouseError('internal', 'The guest ended without a reason.');
    return {
      termination: believed === null ? { kind: 'lost', error: fallback } : terminationOf(believed),
      runMs: endedAt - this.#startedAt,
      collectMs: collectedAt - endedAt,
      resources: believed === null ? null : resourcesOf(believed),
      outputFiles: this.#outputFiles.files,
      outputFilesComplete: this.#collected && this.#filesComplete,
    };
  }

  async #expect<T extends 'hello' | 'started'>(type: T): Promise<Extract<GuestMessage, { type: T }>> {
    const message = await this.#connection.next();
    if (message === null) throw new GlasshouseError('guest_lost', 'The guest ended while it booted.');
    if (message.type === 'start_failed') throw startFailure(message, this.#spec);
    if (message.type !== type) throw violation(`${message.type} came where ${type} was due`);
    return message as Extract<GuestMessage, { type: T }>;
  }

  /** Turns what was seen on the link into why it happened. */
  async #explain(error: unknown): Promise<GlasshouseError> {
    if (this.#verdict !== null) return this.#verdict;
    if (error instanceof GlasshouseError && error.code !== 'guest_lost') return error;
    if (systemErrorCode(error) === 'ENOSPC') return asGlasshouseError(error);
    // A link that breaks is a machine that dies; give it the moment it needs to be gone, then ask why.
    await this.#machine.destroy();
    const end = await this.#machine.ended;
    const words = end.lastWords === '' ? '' : ` Last words: ${end.lastWords}`;
    return new GlasshouseError(
      'guest_lost',
      `The guest ended before it had reported (${end.description}).${words}`,
      {
        cause: error,
      },
    );
  }

  #watchMonitor(): void {
    const stopped = this.#isSeenStopped();
    if (stopped && this.#seenStopped) {
      this.condemn(
        new GlasshouseError('vmm_stopped', 'The virtual machine was stopped from outside; it was ended.'),
      );
    }
    this.#seenStopped = stopped;
  }

  #isSeenStopped(): boolean {
    try {
      return this.#machine.isStopped();
    } catch {
      // Nobody could look, for want of a descriptor: that is no sight of a machine that was stopped.
      return false;
    }
  }

  #stopTimers(): void {
    clearInterval(this.#watch);
    this.#clearDeadline();
  }

  #setDeadline(milliseconds: number, verdict: GlasshouseError): void {
    this.#clearDeadline();
    this.#deadline = setTimeout(() => {
      this.condemn(verdict);
    }, milliseconds);
  }

  #clearDeadline(): void {
    if (this.#deadline !== null) clearTimeout(this.#deadline);
    this.#deadline = null;
  }
}

function resourcesOf(exited: Exited): ResourceUsage {
  return {
    source: 'guest',
    maxRssKb: exited.maxRssKb,
    userMicros: exited.userMicros,
    systemMicros: exited.systemMicros,
  };
}
