import { createHash, type Hash } from 'node:crypto';

import { type StdinPlan } from '../backends/backend.js';

/** Passes stdin on and hashes what the backend took of it. */
export class HashedStdin {
  readonly plan: StdinPlan;
  readonly #hash: Hash | null;

  constructor(plan: StdinPlan) {
    this.#hash = plan === 'inherit' ? null : createHash('sha256');
    this.plan = typeof plan === 'string' ? plan : this.#pass(plan);
  }

  /** Null when stdin was inherited and so not seen. */
  sha256(): string | null {
    return this.#hash?.copy().digest('hex') ?? null;
  }

  async *#pass(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of source) {
      this.#hash?.update(chunk);
      yield chunk;
    }
  }
}
