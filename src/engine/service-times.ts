/** Weight of the newest observation: about the last ten count. */
const NEWEST = 0.2;
/** Assumed until the first execution has ended. */
const UNKNOWN_MS = 1000;
const SHORTEST_MS = 1000;
const LONGEST_MS = 300_000;

/** How long executions hold their place, observed, to tell those that are refused when to come back. */
export class ServiceTimes {
  #meanMs: number | null = null;
  #running = 0;
  /** Sum of the times at which those that run began. */
  #beginnings = 0;

  begin(now: number): void {
    this.#running += 1;
    this.#beginnings += now;
  }

  end(begunAt: number, now: number): void {
    this.#running -= 1;
    this.#beginnings -= begunAt;
    const elapsed = now - begunAt;
    this.#meanMs = this.#meanMs === null ? elapsed : this.#meanMs + NEWEST * (elapsed - this.#meanMs);
  }

  /** Milliseconds until those that wait now, and one more, have got a place; from 1 s to 5 min. */
  untilWorkedOff(waiting: number, now: number): number {
    const estimate = ((waiting + 1) * this.#expectedMs(now)) / Math.max(1, this.#running);
    return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, estimate));
  }

  /** Those that run have taken as long already as they have, whatever others took before them. */
  #expectedMs(now: number): number {
    const age = this.#running === 0 ? 0 : now - this.#beginnings / this.#running;
    return Math.max(this.#meanMs ?? UNKNOWN_MS, age);
  }
}
