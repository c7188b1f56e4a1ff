import { Witness } from './witness.js';

export interface SignalForwarding {
  /** Sends a signal to the program; does nothing when it has ended. */
  readonly send: (signal: NodeJS.Signals) => Promise<void>;
  /** Ends the program and everything that it started. */
  readonly kill: () => Promise<void>;
  /** True when the program shares our process group, so that the terminal's signals reach it without us. */
  readonly terminal: boolean;
}

const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
const PROGRAM_CONTROL_SIGNALS = ['SIGWINCH', 'SIGTSTP', 'SIGCONT'] as const;

/**
 * Makes every signal that we get reach the program exactly once, until disposed of. The second SIGINT kills.
 *
 * Sharing our process group, the program gets what is sent to the group (Ctrl-C, Ctrl-\, Ctrl-Z, window size, hang-up)
 * from the kernel: only what was sent to us alone is passed on, and stopping works as for any other job. In a session
 * of its own the program gets nothing by itself: everything is passed on, and when we are told to stop, the program
 * stops too.
 */
export function forwardSignals(forwarding: SignalForwarding): AsyncDisposable {
  return forwarding.terminal
    ? new SharedGroupSignals(forwarding, new Witness())
    : new OwnSessionSignals(forwarding);
}

/** Handles signals one after the other, in the order in which they came. */
abstract class Signals implements AsyncDisposable {
  protected readonly forwarding: SignalForwarding;
  readonly #names: readonly NodeJS.Signals[];
  #interrupts = 0;
  #queue: Promise<void> = Promise.resolve();
  readonly #failures: unknown[] = [];

  protected constructor(forwarding: SignalForwarding, names: readonly NodeJS.Signals[]) {
    this.forwarding = forwarding;
    this.#names = names;
    for (const name of names) process.on(name, this.#take);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#names) process.removeListener(name, this.#take);
    await this.#queue;
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  /** Called when the signal comes; what it returns is run when all earlier signals have been handled. */
  protected abstract prepare(signal: NodeJS.Signals): () => Promise<void>;

  readonly #take = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGINT') this.#interrupts += 1;
    const action =
      this.#interrupts > 1 && signal === 'SIGINT' ? this.forwarding.kill() : this.#enqueue(signal);
    action.catch((error: unknown) => this.#failures.push(error));
  };

  #enqueue(signal: NodeJS.Signals): Promise<void> {
    const handled = this.#queue.then(this.prepare(signal));
    this.#queue = handled.catch(() => undefined);
    return handled;
  }
}

class OwnSessionSignals extends Signals {
  constructor(forwarding: SignalForwarding) {
    super(forwarding, [...ENDING_SIGNALS, ...PROGRAM_CONTROL_SIGNALS]);
  }

  protected prepare(signal: NodeJS.Signals): () => Promise<void> {
    return () => (signal === 'SIGTSTP' ? this.#stop() : this.forwarding.send(signal));
  }

  /** The kernel does not let SIGTSTP stop a process group that no shell looks after, such as the program's. */
  async #stop(): Promise<void> {
    await this.forwarding.send('SIGSTOP');
    process.kill(process.pid, 'SIGSTOP');
  }
}

class SharedGroupSignals extends Signals {
  #witness: Witness;

  /** The witness is there before the first signal can be taken. */
  constructor(forwarding: SignalForwarding, witness: Witness) {
    super(forwarding, ENDING_SIGNALS);
    this.#witness = witness;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    try {
      await super[Symbol.asyncDispose]();
    } finally {
      await this.#witness[Symbol.asyncDispose]();
    }
  }

  protected prepare(signal: NodeJS.Signals): () => Promise<void> {
    // The witness of now, not of later: signals that come together are all to be seen on the same one.
    const witness = this.#witness;
    return async () => {
      if (!(await witness.saw(signal))) return this.forwarding.send(signal);
      if (witness !== this.#witness) return;
      this.#witness = new Witness();
      await witness[Symbol.asyncDispose]();
    };
  }
}
