import { MAX_NAMED_PROCESSES } from '../../../receipts/observed-schema.js';
import { type Deeds } from '../../../receipts/observed.js';
import { type Shares } from '../observer-message.js';
import { type Budget } from './budget.js';

/** Who did something, and how often. */
export class Doers {
  #count = 0;
  readonly #ids = new Set<number>();

  get count(): number {
    return this.#count;
  }

  /** `id`: null for a process that the receipt does not list. */
  add(id: number | null, times: number, budget: Budget): void {
    this.#count = Math.min(this.#count + times, Number.MAX_SAFE_INTEGER);
    if (id === null || this.#ids.has(id)) return;
    if (this.#ids.size >= MAX_NAMED_PROCESSES) budget.omit('process_references');
    else if (budget.takeId()) this.#ids.add(id);
  }

  /** `ids`: by place. */
  addShares(shares: Shares, ids: readonly (number | null)[], budget: Budget): void {
    for (let at = 0; at < shares.length; at += 2)
      this.add(ids[shares[at] ?? 0] ?? null, shares[at + 1] ?? 0, budget);
  }

  record(): Deeds {
    return { processes: [...this.#ids].sort((one, other) => one - other), count: this.#count };
  }
}

/** Entries by key, each made when there is room for it. */
export class Entries<Entry> {
  readonly #entries = new Map<string, Entry>();

  /** `make` gives null when there is no room. */
  get(key: string, make: () => Entry | null): Entry | null {
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const made = make();
    if (made !== null) this.#entries.set(key, made);
    return made;
  }

  /** In the order in which they were first seen. */
  values(): Entry[] {
    return [...this.#entries.values()];
  }
}
