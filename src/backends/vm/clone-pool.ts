import { type Guest } from './guest.js';

/** How often to look whether memory has become short. */
const MEMORY_INTERVAL_MS = 5_000;

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
}

/** One that is being made. */
interface Coming {
  readonly guest: Promise<Guest>;
  /** Somebody already waits for it: it will not go into the pool. */
  claimed: boolean;
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
  #isResting = false;

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
    if (guest !== undefined) return Promise.resolve(guest);
    const coming = this.#coming;
    if (coming === null || coming.claimed) return null;
    coming.claimed = true;
    return coming.guest;
  }

  /** Makes what is missing, if that starves nobody. To be called whenever that may have changed. */
  refill(): void {
    this.#isResting = false;
    this.#makeNext();
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
    const coming = this.#coming;
    await Promise.allSettled([coming?.guest]);
    await Promise.all(this.#ready.splice(0).map(({ machine }) => machine.destroy()));
  }

  #makeNext(): void {
    const { size, isBusy, availableMb, reserveMb } = this.#options;
    if (this.#closed || this.#coming !== null || this.#ready.length >= size) return;
    if (isBusy() || availableMb() < reserveMb) return;
    const coming: Coming = { guest: this.#options.restore(), claimed: false };
    this.#coming = coming;
    coming.guest.then(
      (guest) => {
        this.#arrive(guest, coming);
      },
      () => {
        this.#failures += 1;
        this.#isResting = true;
        this.#coming = null;
      },
    );
  }

  #arrive(guest: Guest, coming: Coming): void {
    this.#coming = null;
    if (coming.claimed) return;
    this.#ready.push(guest);
    void guest.machine.ended.then(() => {
      const index = this.#ready.indexOf(guest);
      if (index >= 0) this.#ready.splice(index, 1);
    });
    this.#makeNext();
  }

  #giveBackWhenShort(): void {
    if (this.#options.availableMb() * 2 < this.#options.reserveMb) void this.#ready.pop()?.machine.destroy();
    else if (!this.#isResting) this.#makeNext();
  }
}
