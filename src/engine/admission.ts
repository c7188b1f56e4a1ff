import { type Footprint } from '../backends/backend.js';
import { GlasshouseError } from '../base/errors.js';
import { Budget, type BudgetLimits } from './budget.js';
import { FairQueue } from './fair-queue.js';
import { ServiceTimes } from './service-times.js';

export interface AdmissionLimits extends BudgetLimits {
  /** Executions that may wait; one more is refused. */
  readonly maxQueued: number;
  /** Longest wait in milliseconds. */
  readonly queueTimeoutMs: number;
}

/** One that wants to run. */
export interface Applicant {
  /** Clients take turns; any text that tells one from the other. */
  readonly client: string;
  readonly footprint: Footprint;
  /** Milliseconds that it has for its wait and its run together; null: as long as it takes. */
  readonly deadlineMs: number | null;
  /** Called when it has to wait, with the number of those that wait then; null when nobody wants to know. */
  readonly onQueued: ((waiting: number) => void) | null;
}

/** What runs and waits at one moment, and what there is for it. */
export interface AdmissionLoad {
  readonly running: number;
  readonly queued: number;
  /** Clients that have something waiting. */
  readonly waitingClients: number;
  readonly memoryMb: number;
  readonly cpus: number;
  readonly limits: AdmissionLimits;
}

interface Ticket {
  readonly footprint: Footprint;
  readonly admit: () => void;
  readonly refuse: (error: GlasshouseError) => void;
}

/**
 * Lets executions in while memory, CPUs and places last; the others wait in a bounded queue in which clients take
 * turns, and what is too much is refused.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #budget: Budget;
  readonly #queue = new FairQueue<Ticket>();
  readonly #times = new ServiceTimes();
  readonly #now: () => number;

  /** `now` gives milliseconds of a monotonic clock. */
  constructor(limits: AdmissionLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#budget = new Budget(limits);
    this.#now = now;
  }

  get running(): number {
    return this.#budget.running;
  }

  get queued(): number {
    return this.#queue.size;
  }

  get load(): AdmissionLoad {
    const { running, memoryMb, cpus } = this.#budget;
    const { size: queued, clients: waitingClients } = this.#queue;
    return { running, queued, waitingClients, memoryMb, cpus, limits: this.#limits };
  }

  /** Milliseconds after which one that is refused now may expect a place in the queue. */
  get retryAfterMs(): number {
    return this.#times.untilWorkedOff(this.#queue.size, this.#now());
  }

  /**
   * Resolves when the caller may run; dispose what it gives to let the next ones in. Throws `limit_exceeded` for what
   * could never run here, `overloaded` when the queue is full, also later, when clients with less waiting need the
   * place, `queue_timeout` or `deadline_exceeded` when the turn does not come in time, and `canceled` when `signal`
   * aborts first.
   */
  async enter(applicant: Applicant, signal: AbortSignal): Promise<Disposable> {
    if (signal.aborted) throw canceled();
    const { footprint } = applicant;
    if (!this.#budget.couldFit(footprint)) throw tooLarge(footprint, this.#limits);
    await this.#turn(applicant, signal);
    return this.#place(footprint);
  }

  #turn(applicant: Applicant, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const { client, footprint } = applicant;
      const wait = new Wait(signal);
      const ticket: Ticket = {
        footprint,
        admit: () => {
          wait.end();
          resolve();
        },
        refuse: (error) => {
          wait.end();
          reject(error);
        },
      };
      const waiting = this.#queue.push(client, ticket);
      this.#admitAll();
      if (wait.hasEnded()) return;
      wait.begin(this.#patienceOf(applicant), (error) => {
        this.#queue.remove(waiting);
        ticket.refuse(error);
        // It may have been the one for which free places were kept.
        this.#admitAll();
      });
      if (this.#queue.size > this.#limits.maxQueued)
        this.#queue.takeSurplus(waiting).refuse(this.#overloaded());
      if (!wait.hasEnded()) applicant.onQueued?.(this.#queue.size);
    });
  }

  #admitAll(): void {
    for (;;) {
      const ticket = this.#queue.takeNext(({ footprint }) => this.#budget.fits(footprint));
      if (ticket === null) return;
      // At once, so that nobody can slip in between.
      this.#budget.take(ticket.footprint);
      ticket.admit();
    }
  }

  #place(footprint: Footprint): Disposable {
    const begunAt = this.#now();
    this.#times.begin(begunAt);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#times.end(begunAt, this.#now());
        this.#budget.give(footprint);
        this.#admitAll();
      },
    };
  }

  #overloaded(): GlasshouseError {
    const { running, size } = { running: this.#budget.running, size: this.#queue.size };
    const message = `${running} executions run and ${size} wait already; try again later.`;
    return new GlasshouseError('overloaded', message, { retryAfterMs: this.retryAfterMs });
  }

  #patienceOf({ deadlineMs }: Applicant): Patience {
    const { queueTimeoutMs } = this.#limits;
    const error = (own: boolean): GlasshouseError =>
      new GlasshouseError(
        own ? 'deadline_exceeded' : 'queue_timeout',
        own
          ? 'The deadline of the request passed before it was its turn; nothing was started.'
          : `It was not its turn within ${queueTimeoutMs} ms; nothing was started. Try again later.`,
        { retryAfterMs: this.retryAfterMs },
      );
    return deadlineMs !== null && deadlineMs < queueTimeoutMs
      ? { milliseconds: deadlineMs, error: () => error(true) }
      : { milliseconds: queueTimeoutMs, error: () => error(false) };
  }
}

interface Patience {
  readonly milliseconds: number;
  readonly error: () => GlasshouseError;
}

/** The timer and the listener of one that waits. */
class Wait {
  #ended = false;
  readonly #signal: AbortSignal;
  #timer: NodeJS.Timeout | null = null;
  #giveUp: (() => void) | null = null;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  begin(patience: Patience, giveUp: (error: GlasshouseError) => void): void {
    this.#giveUp = (): void => {
      giveUp(canceled());
    };
    this.#signal.addEventListener('abort', this.#giveUp, { once: true });
    this.#timer = setTimeout(() => {
      giveUp(patience.error());
    }, patience.milliseconds);
  }

  hasEnded(): boolean {
    return this.#ended;
  }

  end(): void {
    this.#ended = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#giveUp !== null) this.#signal.removeEventListener('abort', this.#giveUp);
  }
}

function canceled(): GlasshouseError {
  return new GlasshouseError('canceled', 'The execution was canceled before it was started.');
}

function tooLarge({ memoryMb }: Footprint, limits: AdmissionLimits): GlasshouseError {
  return new GlasshouseError(
    'limit_exceeded',
    `It would take ${memoryMb} MiB of this machine, with what isolation costs; all executions together may take ${limits.memoryMb}.`,
    { field: 'limits/memory_mb' },
  );
}
