import { type Footprint } from '../backends/backend.js';

/** What all executions that run at the same time may take of this machine. */
export interface BudgetLimits {
  readonly maxConcurrent: number;
  readonly memoryMb: number;
  readonly cpus: number;
}

/** Keeps account of what the running executions take; never lets it go over the limits. */
export class Budget {
  readonly limits: BudgetLimits;
  #running = 0;
  #memoryMb = 0;
  #cpus = 0;

  constructor(limits: BudgetLimits) {
    this.limits = limits;
  }

  get running(): number {
    return this.#running;
  }

  get memoryMb(): number {
    return this.#memoryMb;
  }

  get cpus(): number {
    return this.#cpus;
  }

  /** False: not even if nothing else ran. */
  couldFit(footprint: Footprint): boolean {
    return footprint.memoryMb <= this.limits.memoryMb;
  }

  fits(footprint: Footprint): boolean {
    return (
      this.#running < this.limits.maxConcurrent &&
      this.#memoryMb + footprint.memoryMb <= this.limits.memoryMb &&
      this.#cpus + this.#countedCpus(footprint) <= this.limits.cpus
    );
  }

  /** Only after fits(). */
  take(footprint: Footprint): void {
    this.#running += 1;
    this.#memoryMb += footprint.memoryMb;
    this.#cpus += this.#countedCpus(footprint);
  }

  /** Gives back what take() took. */
  give(footprint: Footprint): void {
    this.#running -= 1;
    this.#memoryMb -= footprint.memoryMb;
    this.#cpus -= this.#countedCpus(footprint);
  }

  /** CPUs are shared by time: who wants more than there are can have them, slower, when nobody else runs. */
  #countedCpus(footprint: Footprint): number {
    return Math.min(footprint.cpus, this.limits.cpus);
  }
}
