import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

import { hasEnded, readProcess } from '../base/process-table.js';

/** How long a signal to the whole group may take to show on the witness; in practice it is there before we see ours. */
const CERTAINTY_MS = 50;
const POLL_MS = 2;

/**
 * A process that does nothing but sit in our process group. A signal that the kernel or a shell sends to the group
 * (Ctrl-C) ends it; a signal that was sent to us alone (`kill -INT PID`) does not. It reads a pipe from us, so that it
 * ends with us whatever happens.
 */
export class Witness implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;

  constructor() {
    // No core file when it dies of SIGQUIT.
    this.#child = spawn('/bin/sh', ['-c', 'ulimit -c 0; exec cat'], {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: {},
    });
    this.#child.stdin?.on('error', () => undefined);
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', () => {
        resolve();
      });
      // It could not be started: then every signal counts as sent to us alone.
      this.#child.once('error', () => {
        resolve();
      });
    });
  }

  /** Whether `signal`, which we just got, was sent to the whole group. The witness is used up when it says yes. */
  async saw(signal: NodeJS.Signals): Promise<boolean> {
    const pid = this.#child.pid;
    if (pid === undefined) return false;
    for (let waitedMs = 0; ; waitedMs += POLL_MS) {
      if (this.#child.signalCode !== null || isPendingOrDead(pid, signal)) return true;
      if (waitedMs >= CERTAINTY_MS) return false;
      await delay(POLL_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    this.#child.stdin?.destroy();
    await this.#exited;
  }
}

/** A signal that ends a process stays pending for it until it is gone (proc_pid_status(5), ShdPnd). */
function isPendingOrDead(pid: number, signal: NodeJS.Signals): boolean {
  const entry = readProcess(pid);
  if (entry === null || hasEnded(entry)) return true;
  try {
    const pending =
      /^ShdPnd:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '0';
    return ((BigInt(`0x${pending}`) >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n;
  } catch {
    return true; // It ended meanwhile.
  }
}
