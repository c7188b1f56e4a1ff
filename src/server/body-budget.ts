import { type IncomingMessage } from 'node:http';

/** Bounds the bytes of all request bodies that are in memory at the same time. */
export class BodyBudget {
  readonly #totalBytes: number;
  readonly #reserved = new Map<IncomingMessage, number>();
  #usedBytes = 0;

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  /** Sets bytes aside for a request; false: there is no room, try again later. */
  reserve(request: IncomingMessage, bytes: number): boolean {
    if (this.#usedBytes + bytes > this.#totalBytes) return false;
    this.#usedBytes += bytes;
    this.#reserved.set(request, bytes);
    return true;
  }

  /** Gives back what a request turned out not to need. */
  shrink(request: IncomingMessage, bytes: number): void {
    const reserved = this.#reserved.get(request);
    if (reserved === undefined || bytes >= reserved) return;
    this.#usedBytes -= reserved - bytes;
    this.#reserved.set(request, bytes);
  }

  /** Gives back everything that a request holds. Idempotent. */
  release(request: IncomingMessage): void {
    this.#usedBytes -= this.#reserved.get(request) ?? 0;
    this.#reserved.delete(request);
  }
}
