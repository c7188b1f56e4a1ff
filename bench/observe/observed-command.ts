import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

import { listPids, readProcess } from '../../src/base/process-table.js';
import { type Argv } from './processes.js';
import { type Bench, glasshouse } from './watchers.js';

/** An observed command that runs beside us until its stdin ends or it is done. Dispose waits for that. */
export class ObservedCommand implements AsyncDisposable {
  readonly glasshousePid: number;
  readonly observerPid: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  private constructor(child: ChildProcess, exited: Promise<unknown>, glasshousePid: number) {
    this.#child = child;
    this.#exited = exited;
    this.glasshousePid = glasshousePid;
    this.observerPid = observerOf(glasshousePid);
  }

  /** The command has to write something when it runs. `nodeOptions` are for Glasshouse. */
  static async start(
    bench: Bench,
    argv: Argv,
    nodeOptions: readonly string[] = [],
  ): Promise<ObservedCommand> {
    const watcher = glasshouse(bench, '', 'observed', ['--profile', 'required'], nodeOptions);
    const [program, ...args] = watcher.wrap(argv);
    const child = spawn(program, args, { cwd: bench.directory, stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    await once(child.stdout, 'data');
    child.stdout.resume();
    return new ObservedCommand(child, exited, child.pid ?? 0);
  }

  /**
   * Of Glasshouse, started with COLLECTS_GARBAGE: without them the signal ends it. So it would when Glasshouse is about
   * to exit, which is some time after the observer has ended.
   */
  collectGarbage(): void {
    if (nameOf(this.observerPid) === 'observer') this.#child.kill('SIGUSR2');
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    await this.#exited;
    if (this.#child.exitCode !== 0) throw new Error(`exit code ${this.#child.exitCode ?? '-'}`);
  }
}

function observerOf(parent: number): number {
  const pid = listPids().find((one) => readProcess(one)?.parentPid === parent && nameOf(one) === 'observer');
  if (pid === undefined) throw new Error('there is no observer');
  return pid;
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return ''; // It has just ended.
  }
}
