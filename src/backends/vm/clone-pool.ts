import { type Guest } from './guest.js';

/** How often to look whether memory has become short. */
const MEMORY_INTERVAL_MS = 5_000;
/**
 * After an execution has begun or ended, the next clone is not made for so long: an answer that is on its way comes
 * first, and who sends one program after the other gets the processors, not the pool.
 */
export const REST_MS = 150;
/** The same when no clone is left: the next program would pay for one more than this one gains. */
export const SHORT_REST_MS = 30;
/** Of the time that a clone takes, most is its rehearsal. */
const NEARLY_DONE = 3 / 4;

export interface ClonePoolOptions {
  /** Clones that wait at most. */
  readonly size: number;
  /** Makes one that is ready to be used. */
  readonly restore: () => Promise<Guest>;
  /** True while running work needs every processor: then nothing is made. */
  readonly isBusy: () => boolean;
  /** Memory of the host that could be given out now, in MiB. */
  readonly availableMb: () => number;
  /** Memory that must stay available when one more is made, in MiB. */
  readonly reserveMb: number;
  /** A clock in milliseconds that never goes back. */
  readonly now: () => number;
}

/** One that is being made. */
interface Coming {
  readonly guest: Promise<Guest>;
  /** Somebody already waits for it: it will not go into the pool. */
  claimed: boolean;
  readonly begunAt: number;
}

/**
 * Clones that wait to be used, each once. They are made one after the other while nothing else needs the
 * processors, and given back when memory runs short.
 */
export class ClonePool implements AsyncDisposable {
  readonly #options: ClonePoolOptions;
  readonly #ready: Guest[] = [];
  readonly #watch: NodeJS.Timeout;
  #coming: Coming | null = null;
  #failures = 0;
  #closed = false;
  /** The last one could not be made: what has failed would fail again, until somebody wants one. */
  #isDiscouraged = false;
  #rest: NodeJS.Timeout | null = null;
  /** What the last one took to make. Null: none was made yet, and the first takes longest: a template comes before it. */
  #makingMs: number | null = null;

  constructor(options: ClonePoolOptions) {
    this.#options = options;
    this.#watch = setInterval(() => {
      this.#giveBackWhenShort();
    }, MEMORY_INTERVAL_MS);
    this.#watch.unref();
  }

  get ready(): number {
    return this.#ready.length;
  }

  /** Clones that could not be made since the pool exists. */
  get failures(): number {
    return this.#failures;
  }

  /** The next clone, which is then the caller's; one that is nearly done is worth waiting for. Null: none. */
  take(): Promise<Guest> | null {
    const guest = this.#ready.shift();
    this.#restAWhile();
    if (guest !== undefined) return Promise.resolve(guest);
    const coming = this.#coming;
    if (coming === null || coming.claimed || !this.#isNearlyDone(coming)) return null;
    coming.claimed = true;
    return coming.guest;
  }

  /** Makes what is missing, if that starves nobody. */
  refill(): void {
    this.#endRest();
    this.#isDiscouraged = false;
    this.#makeNext();
  }

  /** The same after a rest. To be called when an execution has ended. */
  refillSoon(): void {
    this.#isDiscouraged = false;
    this.#restAWhile();
  }

  /** Gives clones back until `neededMb` are available or none is left. */
  async makeRoom(neededMb: number): Promise<void> {
    while (this.#ready.length > 0 && this.#options.availableMb() < neededMb) {
      await this.#ready.pop()?.machine.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearInterval(this.#watch);
    this.#endRest();
    const coming = this.#coming;
    await Promise.allSettled([coming?.guest]);
    await Promise.all(this.#ready.splice(0).map(({ machine }) => machine.destroy()));
  }

  #makeNext(): void {
    const { size, isBusy, availableMb, reserveMb, now } = this.#options;
    if (this.#closed || this.#rest !== null || this.#coming !== null || this.#ready.length >= size) return;
    if (isBusy() || availableMb() < reserveMb) return;
    const coming: Coming = { begunAt: now(), guest: this.#options.restore(), claimed: false };
    this.#coming = coming;
    coming.guest.then(
      (guest) => {
        this.#arrive(guest, coming);
      },
      () => {
        this.#failures += 1;
        this.#isDiscouraged = true;
        this.#coming = null;
      },
    );
  }

  #arrive(guest: Guest, coming: Coming): void {
    this.#coming = null;
    this.#makingMs = this.#options.now() - coming.begunAt;
    if (coming.claimed) return;
    this.#ready.push(guest);
    void guest.machine.ended.then(() => {
      const index = this.#ready.indexOf(guest);
      if (index < 0) return;
      this.#ready.splice(index, 1);
      // Its process is gone; what it had on disk goes with this.
      void guest.machine.destroy();
    });
    this.#makeNext();
  }

  /** True when it will probably be there before a clone that is begun now, which does without the rehearsal. */
  #isNearlyDone({ begunAt }: Coming): boolean {
    return this.#makingMs !== null && this.#options.now() - begunAt >= this.#makingMs * NEARLY_DONE;
  }

  #restAWhile(): void {
    this.#endRest();
    if (this.#closed) return;
    this.#rest = setTimeout(
      () => {
        this.#rest = null;
        if (!this.#isDiscouraged) this.#makeNext();
      },
      this.#ready.length > 0 ? REST_MS : SHORT_REST_MS,
    );
    this.#rest.unref();
  }

  #endRest(): void {
    if (this.#rest !== null) clearTimeout(this.#rest);
    this.#rest = null;
  }

  #giveBackWhenShort(): void {
    if (this.#options.availableMb() * 2 < this.#options.reserveMb) void this.#ready.pop()?.machine.destroy();
    else if (!this.#isDiscouraged) this.#makeNext();
  }
}
