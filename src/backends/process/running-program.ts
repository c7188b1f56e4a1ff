import { type ChildProcess } from 'node:child_process';

import { GlasshouseError, asGlasshouseError, systemErrorCode } from '../../base/errors.js';
import { PipeReader } from '../../base/pipe-reader.js';
import {
  type ExecutionHandle,
  type ExecutionResult,
  type ExecutionSpec,
  type OutputStream,
  type Termination,
} from '../backend.js';
import { type LaunchedProgram } from './launch.js';
import { ProcessTree } from './process-tree.js';
import { StdinFeed } from './stdin-feed.js';

/** How long a sink may still take after kill() before the rest of the output is given up. */
const DELIVERY_AFTER_KILL_MS = 2_000;

/** One program from its first instruction until nothing is left of it. */
export class RunningProgram implements ExecutionHandle {
  readonly executionId: string;
  readonly bootMs: number;
  readonly bootStages: Readonly<Record<string, number>>;
  readonly origin = { start: 'cold', snapshot: null } as const;
  readonly programEnded: Promise<void>;
  /** Never rejects before somebody asks: wait() hands out this very promise. */
  readonly result: Promise<ExecutionResult>;
  readonly #child: ChildProcess;
  readonly #target: number;
  readonly #tree: ProcessTree;
  readonly #readers: readonly PipeReader[];
  readonly #stdin: StdinFeed | null;
  readonly #startedAt = performance.now();
  #settle: (termination: Termination) => void = () => undefined;
  readonly #end = new Promise<Termination>((resolve) => {
    this.#settle = resolve;
  });
  readonly #killed = new AbortController();
  #killing: Promise<boolean> | null = null;
  /** Everything that was found has been killed after the program's end: nothing can appear any more. */
  #nothingLeft = false;
  /** The first failure of what the program is connected to. */
  #failure: GlasshouseError | null = null;

  constructor(program: LaunchedProgram, spec: ExecutionSpec, bootStages: Readonly<Record<string, number>>) {
    this.executionId = spec.executionId;
    this.programEnded = this.#end.then(() => undefined);
    this.bootStages = bootStages;
    this.bootMs = Object.values(bootStages).reduce((sum, stage) => sum + stage, 0);
    this.#child = program.child;
    this.#watch(program.child);
    this.#target = program.ownSession ? -program.pid : program.pid;
    this.#tree = ProcessTree.ofProgram(spec.executionId, program.pid, program.ownSession);
    const read = (descriptor: number | null, stream: OutputStream): PipeReader[] =>
      descriptor === null ? [] : [this.#read(descriptor, stream, spec)];
    this.#readers = [...read(program.stdout, 'stdout'), ...read(program.stderr, 'stderr')];
    this.#stdin = this.#feed(program.stdin, spec);
    this.result = this.#run().catch((error: unknown) => {
      throw asGlasshouseError(error);
    });
    this.result.catch(() => undefined);
  }

  /** Signals the program and, in a session of its own, its process group. */
  signal(signal: NodeJS.Signals): void {
    // Node.js reaps the child and records its end in one step: before that the pid cannot be anyone else's.
    if (this.#hasEnded()) return;
    try {
      process.kill(this.#target, signal);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ESRCH') return;
      if (code !== 'EPERM') throw error;
      const message = `${signal} cannot be sent: the program runs with the rights of another user`;
      throw new GlasshouseError('unsupported_by_backend', message, { cause: error });
    }
  }

  /** Ends the program and everything that it started; from here on, the result waits for the sink 2 s at most. */
  async kill(): Promise<void> {
    this.#killed.abort();
    if (this.#nothingLeft) return;
    const allDead = await (this.#killing ??= this.#tree.kill());
    if (!allDead && !this.#hasEnded()) this.#giveUp();
  }

  /** Ends everything now; output that the sink has not taken is given up. */
  async release(): Promise<void> {
    const killed = this.kill();
    this.#closeReaders();
    await killed;
    await this.#stdin?.close();
    await this.result.catch(() => undefined);
  }

  async #run(): Promise<ExecutionResult> {
    const termination = await this.#end;
    const runMs = performance.now() - this.#startedAt;
    // The execution is over: what the program left behind must not outlive it, nor hold its output open.
    this.#nothingLeft = await this.#tree.kill();
    await this.#stdin?.close();
    for (const reader of this.#readers) reader.drain();
    await this.#outputDelivered();
    if (this.#failure !== null) throw this.#failure;
    // Node.js does not give out the rusage of a child (wait4(2)), and the /proc files of a dead process are gone.
    return { termination, runMs, collectMs: 0, resources: null, outputFiles: [], outputFilesComplete: true };
  }

  /** As long as the sink takes, but bounded from kill() on, whether that came before the end or comes now. */
  async #outputDelivered(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const startTimer = (): void => {
      timer = setTimeout(() => {
        this.#closeReaders();
      }, DELIVERY_AFTER_KILL_MS);
    };
    if (this.#killed.signal.aborted) startTimer();
    else this.#killed.signal.addEventListener('abort', startTimer, { once: true });
    await Promise.allSettled(this.#readers.map((reader) => reader.finished));
    this.#killed.signal.removeEventListener('abort', startTimer);
    clearTimeout(timer);
  }

  #closeReaders(): void {
    for (const reader of this.#readers) reader.close();
  }

  #read(descriptor: number, stream: OutputStream, spec: ExecutionSpec): PipeReader {
    const reader = new PipeReader(descriptor, (chunk) => spec.sink.write(stream, chunk));
    reader.finished.catch((error: unknown) => {
      // The reader has closed the pipe, so the program's next write raises SIGPIPE: all that is needed.
      if (error instanceof GlasshouseError && error.code === 'output_closed') return;
      this.#fail(error);
    });
    return reader;
  }

  #feed(descriptor: number | null, spec: ExecutionSpec): StdinFeed | null {
    if (descriptor === null || typeof spec.stdin === 'string') return null;
    const feed = new StdinFeed(descriptor, spec.stdin);
    feed.finished.catch((error: unknown) => {
      this.#fail(error);
    });
    return feed;
  }

  #fail(error: unknown): void {
    this.#failure ??= asGlasshouseError(error);
    // Should the killing itself fail, then it fails again, and is reported, when the program has ended.
    if (!this.#hasEnded()) this.kill().catch(() => undefined);
  }

  /** A program killed by a real-time signal shows as exit code 0: Node.js gives neither its number nor its name. */
  #watch(child: ChildProcess): void {
    const settle = (exitCode: number | null, signal: NodeJS.Signals | null): void => {
      if (signal !== null) this.#settle({ kind: 'signaled', signal });
      else this.#settle({ kind: 'exited', exitCode: exitCode ?? 0 });
    };
    // One that was held may have ended already, and says so only once.
    if (this.#hasEnded()) settle(child.exitCode, child.signalCode);
    else child.once('exit', settle);
  }

  /** SIGKILL had no effect: nobody can end this program but the kernel or the user that it belongs to. */
  #giveUp(): void {
    const message =
      'The program cannot be killed: it runs with the rights of another user, or hangs in the kernel';
    this.#child.unref();
    this.#settle({ kind: 'lost', error: new GlasshouseError('unsupported_by_backend', message) });
  }

  #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}
