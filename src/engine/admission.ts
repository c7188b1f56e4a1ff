import { GlasshouseError } from '../base/errors.js';

export interface AdmissionLimits {
  /** Executions that may run at once. */
  readonly maxConcurrent: number;
  /** Executions that may wait; one more is refused. */
  readonly maxQueued: number;
}

/** Lets a bounded number of executions in, the others wait in order of arrival, and what is too much is refused. */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#waiting.length;
  }

  /**
   * Resolves when the caller may run; dispose what it gives to let the next one in.
   * Throws `overloaded` when the queue is full and `canceled` when `signal` aborts first.
   */
  async enter(signal: AbortSignal): Promise<Disposable> {
    if (signal.aborted) throw canceled();
    if (this.#running < this.#limits.maxConcurrent) this.#running += 1;
    else await this.#waitForTurn(signal);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#leave();
        held = false;
      },
    };
  }

  #waitForTurn(signal: AbortSignal): Promise<void> {
    if (this.#waiting.length >= this.#limits.maxQueued) {
      throw new GlasshouseError(
        'overloaded',
        `${this.#running} executions run and ${this.#waiting.length} wait already; try again later.`,
      );
    }
    return new Promise((resolve, reject) => {
      const admit = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(admit), 1);
        reject(canceled());
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#waiting.push(admit);
    });
  }

  /** The place goes straight to the next one, so nobody can slip in between. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running -= 1;
    else next();
  }
}

function canceled(): GlasshouseError {
  return new GlasshouseError('canceled', 'The execution was canceled before it was started.');
}
