import { type ServerResponse } from 'node:http';
import { GlasshouseError } from '../base/errors.js';

export const EVENT_STREAM_TYPE = 'text/event-stream';

/** How long a client may take nothing at all of the last event before it is cut off, in milliseconds. */
const STALL_MS = 60_000;
/** Bytes of the last event that are handed to the connection at once. */
const PIECE_BYTES = 64 * 1024;

/**
 * One answer as a stream of events (HTML Living Standard, 9.2 "Server-sent events"). Nothing is sent before the first
 * event or heartbeat, so that until then the answer can still be something else.
 */
export class EventStream implements Disposable {
  readonly #response: ServerResponse;
  readonly #onOpen: () => void;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #wakers = new Set<() => void>();
  readonly #wake = (): void => {
    for (const waker of this.#wakers) waker();
    this.#wakers.clear();
  };
  #opened = false;

  /** `onOpen` is called when the answer begins, to set the headers that it has beside its type. */
  constructor(response: ServerResponse, heartbeatMs: number, onOpen: () => void) {
    this.#response = response;
    this.#onOpen = onOpen;
    this.#heartbeat = setInterval(() => {
      this.#beat();
    }, heartbeatMs);
    response.on('drain', this.#wake);
    response.on('close', this.#wake);
  }

  /** True when the answer has begun. */
  get opened(): boolean {
    return this.#opened;
  }

  /** True while the client has not yet taken what it was sent. */
  get congested(): boolean {
    return this.#response.writableNeedDrain;
  }

  /** Sends an event, whether or not the client takes it now: for what is small and rare. */
  post(event: string, data: unknown): void {
    if (this.#isGone()) return;
    this.#open();
    this.#heartbeat.refresh();
    this.#response.write(encodeEvent(event, data));
  }

  /** Resolves when the client can take more, when it has gone, and when wakeAll() is called. */
  async ready(): Promise<void> {
    if (this.congested && !this.#isGone()) await this.#woken();
  }

  /** Ends the wait of everybody in ready(). */
  wakeAll(): void {
    this.#wake();
  }

  /** @throws GlasshouseError output_closed. */
  throwIfGone(): void {
    if (this.#isGone())
      throw new GlasshouseError('output_closed', 'The client of the event stream went away.');
  }

  /** Sends the last event, piece by piece as the client takes it, and ends the answer. */
  async end(event: string, data: unknown): Promise<void> {
    clearInterval(this.#heartbeat);
    if (this.#isGone()) return;
    this.#open();
    const bytes = Buffer.from(encodeEvent(event, data));
    for (let start = 0; start < bytes.length && !this.#isGone(); start += PIECE_BYTES) {
      this.#response.write(bytes.subarray(start, start + PIECE_BYTES));
      await this.#takenInTime();
    }
    this.#response.end();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#heartbeat);
    this.#response.removeListener('drain', this.#wake);
    this.#response.removeListener('close', this.#wake);
    this.#wake();
    // A stream that broke off must not look like one that goes on, or like one that is complete.
    if (this.#opened && !this.#response.writableEnded) this.#response.destroy();
  }

  #isGone(): boolean {
    return this.#response.closed || this.#response.destroyed;
  }

  #open(): void {
    if (this.#opened) return;
    this.#opened = true;
    this.#onOpen();
    this.#response.writeHead(200, {
      'content-type': EVENT_STREAM_TYPE,
      // Events that wait in a proxy's buffer are late.
      'x-accel-buffering': 'no',
    });
  }

  /** A client that has not taken the last events yet needs no sign of life, and nothing may pile up for it. */
  #beat(): void {
    if (this.#isGone() || this.congested) return;
    this.#open();
    this.#response.write(': heartbeat\n\n');
  }

  async #takenInTime(): Promise<void> {
    const stall = setTimeout(() => {
      this.#response.destroy();
    }, STALL_MS);
    try {
      while (this.congested && !this.#isGone()) await this.#woken();
    } finally {
      clearTimeout(stall);
    }
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakers.add(resolve);
    });
  }
}

/** JSON has no line ends in it, so the data of an event is one line. */
function encodeEvent(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
