/**
 * Times that others may go ahead of the one whose turn it is because what it needs is not free while what they need
 * is. After that nobody passes it: places that become free are kept for it.
 */
export const MOST_OVERTAKINGS = 8;

/** One that waits; also the means to take it out of the queue again. */
export interface Waiting<T> {
  readonly client: string;
  readonly item: T;
}

interface Entry<T> extends Waiting<T> {
  overtakings: number;
}

/**
 * Who is next among those that wait: clients take turns, each client's own wait in order of arrival. Who waits at
 * place p of its client, never among more than c clients, sees at most p × (c + MOST_OVERTAKINGS) go before it.
 */
export class FairQueue<T> {
  /** In the order of their turns; a client without anybody waiting is not in it. */
  readonly #clients = new Map<string, Set<Entry<T>>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Clients that have somebody waiting. */
  get clients(): number {
    return this.#clients.size;
  }

  push(client: string, item: T): Waiting<T> {
    const entry = { client, item, overtakings: 0 };
    const own = this.#clients.get(client);
    if (own === undefined) this.#clients.set(client, new Set([entry]));
    else own.add(entry);
    this.#size += 1;
    return entry;
  }

  /** Does nothing when it does not wait any more. */
  remove(waiting: Waiting<T>): void {
    const own = this.#clients.get(waiting.client);
    if (own?.delete(waiting as Entry<T>) !== true) return;
    this.#size -= 1;
    if (own.size === 0) this.#clients.delete(waiting.client);
  }

  /** Takes out whose turn it is, of those that fit; null when nobody may go now. */
  takeNext(fits: (item: T) => boolean): T | null {
    const passed: Entry<T>[] = [];
    for (const own of this.#clients.values()) {
      const [head] = own;
      if (head === undefined) continue;
      if (fits(head.item)) {
        for (const entry of passed) entry.overtakings += 1;
        this.#take(head);
        return head.item;
      }
      if (head.overtakings >= MOST_OVERTAKINGS) return null;
      passed.push(head);
    }
    return null;
  }

  /**
   * Takes out who has to go when one too many wait, `newcomer` having come last: the newest of the client that has the
   * most waiting; the newcomer itself when no client has more than its own.
   */
  takeSurplus(newcomer: Waiting<T>): T {
    let [longest, most] = [newcomer.client, this.#clients.get(newcomer.client)?.size ?? 0];
    for (const [client, own] of this.#clients) if (own.size > most) [longest, most] = [client, own.size];
    const surplus = [...(this.#clients.get(longest) ?? [])].at(-1) ?? newcomer;
    this.remove(surplus);
    return surplus.item;
  }

  /** Its client goes to the end of the line. */
  #take(entry: Entry<T>): void {
    this.remove(entry);
    const rest = this.#clients.get(entry.client);
    if (rest === undefined) return;
    this.#clients.delete(entry.client);
    this.#clients.set(entry.client, rest);
  }
}
