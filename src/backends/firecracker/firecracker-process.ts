import { type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type Duplex, type Readable } from 'node:stream';

import { killChild } from '../../base/child-process.js';
import { asGlasshouseError, GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { type BootDeadline, bringUp } from '../vm/boot-deadline.js';
import { type MachineEnd, type VirtualMachine } from '../vm/machine.js';
import { isProcessStopped } from '../vm/stopped.js';
import { lastWords, Tail } from '../vm/tail.js';
import { type Action, changeState, createSnapshot, flushMetrics } from './api-actions.js';
import { FirecrackerApi } from './api-client.js';
import { type Cell } from './cell.js';
import { FILES, reportActions } from './machine-setup.js';
import { type MetricsTally } from './metrics.js';
import { MonitorPipes } from './monitor-pipes.js';
import { type LinkTo, VsockLink } from './vsock-link.js';

/** Within which a Firecracker that was started must answer for the first time. */
const API_TIMEOUT_MS = 15_000;
/** Within which a namespace must be empty whose first process was killed, before the one that watches it is, too. */
const NAMESPACE_END_MS = 5_000;

/** One running Firecracker with the cell that it lives in. */
export class FirecrackerProcess implements VirtualMachine {
  readonly link: Duplex;
  readonly ended: Promise<MachineEnd>;
  readonly #child: ChildProcess;
  readonly #cell: Cell;
  readonly #api: FirecrackerApi;
  readonly #isContained: boolean;
  readonly #messages: Tail;
  /** What the guest's console says; before Firecracker has its log, that is here as well. */
  readonly #console: Tail;
  readonly #pipes: MonitorPipes;
  /** Firecracker stands still by a signal of ours, which is not to be stopped from outside. */
  #isPaused = false;
  #destroyed: Promise<void> | null = null;

  /**
   * Takes ownership of the program that was just spawned (host/keep-machine), and of the cell. `isContained`: it watches
   * the first process of a PID namespace, and is not Firecracker itself. `tally`: what its metrics are counted in.
   */
  constructor(
    child: ChildProcess & { readonly stdout: Readable; readonly stderr: Readable },
    cell: Cell,
    to: LinkTo,
    isContained: boolean,
    tally: MetricsTally,
  ) {
    this.#pipes = new MonitorPipes(tally);
    this.#child = child;
    this.#cell = cell;
    this.#isContained = isContained;
    this.#messages = new Tail(child.stderr);
    this.#console = new Tail(child.stdout);
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => {
        resolve(this.#describe(`could not be started: ${error.message}`));
      });
      child.once('close', (code, signal) => {
        const how = signal === null ? `exited with code ${code ?? 'unknown'}` : `was ended by ${signal}`;
        // What it said last is in its pipes.
        void this.#pipes.close().then(() => {
          resolve(this.#describe(how));
        });
      });
    });
    const ended = new AbortController();
    this.#api = new FirecrackerApi(cell.socketPath(FILES.api), ended.signal);
    this.link = new VsockLink(cell.socketPath(FILES.vsock), to);
    // The link breaks whenever the machine ends; whoever reads it learns that from the end of the stream.
    this.link.on('error', () => this.link.destroy());
    void this.ended.then(() => {
      ended.abort();
      this.link.destroy();
    });
  }

  /** Throws `vmm_failed`, or what the deadline says, with what Firecracker said last; the machine is gone then. */
  async begin(actions: Iterable<Action>, deadline: BootDeadline): Promise<void> {
    try {
      await bringUp(this, deadline, async () => {
        await this.#api.awaitReady(API_TIMEOUT_MS);
        await this.#api.performAll(reportActions());
        this.#pipes.open(this.#cell);
        await this.#api.performAll(actions);
        this.#api.seal();
      });
    } catch (error) {
      await this.destroy();
      const failure = asGlasshouseError(error, 'vmm_failed');
      if (failure.code === 'canceled') throw failure;
      const { description, lastWords: words } = await this.ended;
      const detail = words === '' ? description : `${description}; last words: ${words}`;
      throw new GlasshouseError(failure.code, `${failure.message} (${detail})`, { cause: error });
    }
  }

  hasSpoken(): boolean {
    return !this.#console.isEmpty;
  }

  /** Any of its processes: the one that watches, the first of the namespace, Firecracker itself. */
  isStopped(): boolean {
    const { pid } = this.#child;
    if (pid === undefined || this.#hasExited()) return false;
    const line = lineOfDescent(pid);
    return (this.#isPaused ? line.slice(0, -1) : line).some(isProcessStopped);
  }

  /**
   * By signals: a Firecracker 1.16 that resumes a machine holds back all that goes to its guest over vsock until the guest
   * has taken a reset, which is sent when a machine is frozen and not when it is only paused.
   */
  async pause(): Promise<void> {
    await this.#send('SIGSTOP');
    this.#isPaused = true;
  }

  async unpause(): Promise<void> {
    await this.#send('SIGCONT');
    this.#isPaused = false;
  }

  async freeze(): Promise<Uint8Array> {
    await this.#api.perform(changeState('Paused'));
    await this.#api.perform(createSnapshot({ snapshot_path: FILES.state, mem_file_path: FILES.memory }));
    await this.#kill();
    return this.#cell.take(FILES.state);
  }

  async takeStock(): Promise<void> {
    try {
      await this.#api.perform(flushMetrics());
    } catch {
      // What it has counted since its last line stays unsaid, and it is about to be ended.
      this.#pipes.giveUpMetrics();
    }
  }

  destroy(): Promise<void> {
    this.#destroyed ??= this.#kill().then(() => this.#cell[Symbol.asyncDispose]());
    return this.#destroyed;
  }

  /** To Firecracker itself, the last of its line. */
  #send(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    const { pid } = this.#child;
    const firecracker = pid === undefined || this.#hasExited() ? undefined : lineOfDescent(pid).at(-1);
    const hasEnded = new GlasshouseError('vmm_failed', 'Firecracker has ended.');
    if (firecracker === undefined) return Promise.reject(hasEnded);
    try {
      return isSent(signal, firecracker) ? Promise.resolve() : Promise.reject(hasEnded);
    } catch (error) {
      return Promise.reject(asGlasshouseError(error));
    }
  }

  async #kill(): Promise<void> {
    const patience = setTimeout(() => {
      killChild(this.#child);
    }, NAMESPACE_END_MS);
    try {
      if (!this.#hasExited()) this.#killAll();
      this.link.destroy();
      await this.ended;
    } finally {
      clearTimeout(patience);
    }
    // Once more: they may have been opened in the moment in which it ended.
    await this.#pipes.close();
    this.#api[Symbol.dispose]();
  }

  /**
   * By the first process of its namespace, where it has one: the kernel ends all the others before that one is gone
   * (pid_namespaces(7)), and the one that watches says so. To kill that one first would tell us of its end alone, and
   * what is left would still write to the cell while we remove it.
   */
  #killAll(): void {
    const first = this.#firstOfNamespace();
    if (first === undefined || !isSent('SIGKILL', first)) {
      killChild(this.#child);
      return;
    }
    // Somebody may have stopped it; it could not see the end then.
    this.#child.kill('SIGCONT');
  }

  #firstOfNamespace(): number | undefined {
    const { pid } = this.#child;
    if (!this.#isContained || pid === undefined) return undefined;
    try {
      return lineOfDescent(pid)[1];
    } catch {
      // Nothing can be opened any more (EMFILE): it is ended all the same, by the process that watches it.
      return undefined;
    }
  }

  #hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  #describe(how: string): MachineEnd {
    return {
      description: `Firecracker ${how}`,
      lastWords: lastWords([this.#messages, this.#pipes.log, this.#console]),
    };
  }
}

/** False: there is no such process any more. */
function isSent(signal: NodeJS.Signals, pid: number): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ESRCH') return false;
    throw error;
  }
}

/** A process and what descends from it (proc_pid_task(5), "children"), in order. */
export function lineOfDescent(pid: number): number[] {
  const line: number[] = [];
  for (let next: number[] = [pid]; next.length > 0; next = next.flatMap(childrenOf)) line.push(...next);
  return line;
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(systemErrorCode(error) ?? '')) return [];
    throw error;
  }
}
