import { type WitnessedSignal, Witness } from './witness.js';

export interface SignalForwarding {
  /** Sends a signal to the program; does nothing when it has ended. */
  readonly send: (signal: NodeJS.Signals) => Promise<void>;
  /** Ends the program and everything that it started. */
  readonly kill: () => Promise<void>;
  /** True when the program shares our process group, so that the terminal's signals reach it without us. */
  readonly terminal: boolean;
}

const WITNESSED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGWINCH'] as const;
const ALL_SIGNALS = [...WITNESSED_SIGNALS, 'SIGTSTP', 'SIGCONT'] as const;

/**
 * Makes every signal that we get reach the program exactly once, until disposed of. The second SIGINT kills.
 *
 * Sharing our process group, the program gets what is sent to the group (Ctrl-C, Ctrl-\, Ctrl-Z, window size, hang-up)
 * from the kernel: only what was sent to us alone is passed on, and stopping works as for any other job. In a session
 * of its own the program gets nothing by itself: everything is passed on, and when we are told to stop, the program
 * stops too.
 *
 * Dispose of it last, when the receipt has been written: from then on a signal ends us as it ends any process.
 */
export function forwardSignals(forwarding: SignalForwarding): AsyncDisposable {
  return forwarding.terminal
    ? new SharedGroupSignals(forwarding, new Witness())
    : new OwnSessionSignals(forwarding);
}

/** Handles signals one after the other, in the order in which they came. */
abstract class Signals<Name extends NodeJS.Signals> implements AsyncDisposable {
  protected readonly forwarding: SignalForwarding;
  readonly #names: readonly Name[];
  #interrupts = 0;
  #queue: Promise<void> = Promise.resolve();
  readonly #failures: unknown[] = [];

  protected constructor(forwarding: SignalForwarding, names: readonly Name[]) {
    this.forwarding = forwarding;
    this.#names = names;
    for (const name of names) process.on(name, this.#take);
  }

  /** Rejects when a signal could not be passed on. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#names) process.removeListener(name, this.#take);
    await this.#queue;
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  protected abstract handle(signal: Name): Promise<void>;

  readonly #take = (name: NodeJS.Signals): void => {
    const signal = name as Name;
    if (signal === 'SIGINT') this.#interrupts += 1;
    const isSecondInterrupt = signal === 'SIGINT' && this.#interrupts > 1;
    const handled = isSecondInterrupt ? this.forwarding.kill() : this.#queue.then(() => this.handle(signal));
    const recorded = handled.catch((error: unknown) => {
      this.#failures.push(error);
    });
    this.#queue = Promise.all([this.#queue, recorded]).then(() => undefined);
  };
}

class OwnSessionSignals extends Signals<(typeof ALL_SIGNALS)[number]> {
  constructor(forwarding: SignalForwarding) {
    super(forwarding, ALL_SIGNALS);
  }

  protected async handle(signal: (typeof ALL_SIGNALS)[number]): Promise<void> {
    if (signal !== 'SIGTSTP') return this.forwarding.send(signal);
    // The kernel does not let SIGTSTP stop a process group that no shell looks after, such as the program's.
    await this.forwarding.send('SIGSTOP');
    process.kill(process.pid, 'SIGSTOP');
  }
}

class SharedGroupSignals extends Signals<WitnessedSignal> {
  readonly #witness: Witness;

  /** The witness is there before the first signal can be taken. */
  constructor(forwarding: SignalForwarding, witness: Witness) {
    super(forwarding, WITNESSED_SIGNALS);
    this.#witness = witness;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    try {
      await super[Symbol.asyncDispose]();
    } finally {
      await this.#witness[Symbol.asyncDispose]();
    }
  }

  protected async handle(signal: WitnessedSignal): Promise<void> {
    if (!(await this.#witness.saw(signal))) await this.forwarding.send(signal);
  }
}
