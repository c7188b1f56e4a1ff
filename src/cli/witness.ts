import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

import { killChild } from '../base/child-process.js';

/** What a witness can notice. */
export type WitnessedSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGQUIT' | 'SIGWINCH';

/** A witness that does not answer for so long has been stopped by somebody, or the machine is beyond help. */
const PATIENCE_MS = 1_000;

/**
 * A shell that prints the name of each signal that it gets, and a dot for each line that we send. A trap runs before
 * the next command (POSIX, 2.12): the name of a signal that had come before the line is printed before the dot. Some
 * shells make read fail when a signal comes; without a signal, failure is the end of the file, and of us.
 */
const SCRIPT = `
ulimit -c 0
for name in INT TERM HUP QUIT WINCH; do trap "came=1; echo SIG$name" $name; done
while :; do
  came=
  if read -r _; then echo .; elif [ ! "$came" ]; then exit; fi
done`;

/**
 * A process that does nothing but sit in our process group. The kernel hands a signal for the group (Ctrl-C) to all of
 * its members in one step, so when we have got one, the witness has too; one that was sent to us alone (`kill PID`) it
 * has not. It reads from us, so that it ends with us whatever happens.
 */
export class Witness implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #seen = new Set<string>();
  #partialLine = '';
  #answered: () => void = () => undefined;

  constructor() {
    this.#child = spawn('/bin/sh', ['-c', SCRIPT], { stdio: ['pipe', 'pipe', 'ignore'], env: {} });
    // EPIPE: it has ended, which #exited tells.
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stdout?.setEncoding('latin1').on('data', (text: string) => {
      this.#read(text);
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', (_, signal) => {
        // It was hit before it had set its traps.
        if (signal !== null) this.#seen.add(signal);
        resolve();
      });
      // It could not be started: then every signal counts as sent to us alone.
      this.#child.once('error', () => {
        resolve();
      });
    });
  }

  /** Whether `signal`, which we have got, was sent to the whole group. To be asked once for each signal. */
  async saw(signal: WitnessedSignal): Promise<boolean> {
    const answer = new Promise<void>((resolve) => (this.#answered = resolve));
    this.#child.stdin?.write('\n');
    const timer = new AbortController();
    const patience = delay(PATIENCE_MS, undefined, { signal: timer.signal }).catch(() => undefined);
    await Promise.race([answer, this.#exited, patience]);
    timer.abort();
    return this.#seen.delete(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    killChild(this.#child);
    await this.#exited;
    this.#child.stdin?.destroy();
    this.#child.stdout?.destroy();
  }

  #read(text: string): void {
    const lines = (this.#partialLine + text).split('\n');
    this.#partialLine = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '.') this.#answered();
      else this.#seen.add(line);
    }
  }
}
