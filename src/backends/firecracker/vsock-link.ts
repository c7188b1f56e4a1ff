import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * A guest that boots greets every connection that it gets. One that was frozen may lose a connection without a word to
 * either end: up to 1.15, Firecracker lets connections in before its guest has heard that it must forget all of them.
 */
export type LinkTo = 'booting guest' | 'frozen guest';

/** Where guest init listens, and what it says when it has accepted: docs/guest-link.md, "Over vsock". */
const LINK_PORT = 1000;
const GREETING = 1;
/** `OK `, a number of 32 bits, the end of the line, and the greeting. */
const MAX_HANDSHAKE_BYTES = 16;
const RETRY_MS = 3;
/** Of the time that it has tried in vain: a guest that boots for seconds is not asked every few milliseconds. */
const RETRY_SHARE = 1 / 64;
/**
 * How long a frozen guest has for its greeting: at first as long as Firecracker took for all it did before, which tells
 * how fast this machine is; each time twice as long as before.
 */
const SHORTEST_PATIENCE_MS = 20;

/**
 * The guest link over Firecracker's vsock. It connects by itself, as often as it takes until guest init listens; what
 * is written before that waits. Whoever reads it and loses patience destroys it.
 */
export class VsockLink extends Duplex {
  readonly #socketPath: string;
  readonly #to: LinkTo;
  #socket: Socket | null = null;
  /** The one write that may wait for the connection. */
  #waiting: (() => void) | null = null;

  constructor(socketPath: string, to: LinkTo) {
    super({ allowHalfOpen: false });
    this.#socketPath = socketPath;
    this.#to = to;
    void this.#connect();
  }

  override _read(): void {
    this.#socket?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const socket = this.#socket;
    if (socket === null) {
      this.#waiting = () => {
        this._write(chunk, _encoding, callback);
      };
      return;
    }
    socket.write(chunk, callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (this.#socket === null) callback();
    else this.#socket.end(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket?.destroy();
    callback(error);
  }

  async #connect(): Promise<void> {
    const createdAt = performance.now();
    // To look for the socket costs a hundredth of an attempt to connect to it.
    while (!this.destroyed && !existsSync(this.#socketPath)) await sleep(RETRY_MS);
    const begunAt = performance.now();
    let patienceMs = Math.max(SHORTEST_PATIENCE_MS, begunAt - createdAt);
    while (!this.destroyed) {
      const socket = await this.#attempt(this.#to === 'frozen guest' ? patienceMs : null);
      patienceMs *= 2;
      if (socket !== null) {
        this.#adopt(socket);
        return;
      }
      await sleep(Math.max(RETRY_MS, (performance.now() - begunAt) * RETRY_SHARE));
    }
  }

  /** A connection that guest init has greeted; null when there is none to be had yet. */
  #attempt(patienceMs: number | null): Promise<Socket | null> {
    return new Promise((resolve) => {
      const socket = connect(this.#socketPath);
      const giveUp = (): void => {
        socket.destroy();
      };
      const deadline = patienceMs === null ? null : setTimeout(giveUp, patienceMs);
      const settle = (result: Socket | null): void => {
        if (deadline !== null) clearTimeout(deadline);
        this.off('close', giveUp);
        resolve(result);
      };
      let received = Buffer.alloc(0);
      const take = (chunk: Buffer): void => {
        received = Buffer.concat([received, chunk]);
        const end = endOfHandshake(received);
        if (end === 'refused') giveUp();
        if (typeof end !== 'number') return;
        socket.off('data', take);
        socket.pause();
        if (received.length > end) socket.unshift(received.subarray(end));
        settle(socket);
      };
      this.once('close', giveUp);
      // Why it failed does not matter: it is tried again. After the handshake, the end of the stream tells.
      socket.on('error', giveUp);
      socket.on('data', take);
      socket.once('connect', () => socket.write(`CONNECT ${LINK_PORT}\n`));
      socket.once('close', () => {
        settle(null);
      });
    });
  }

  #adopt(socket: Socket): void {
    if (this.destroyed) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    // A machine that ends cuts the connection off: for whoever reads, that is the end of it.
    socket.once('end', () => this.push(null));
    socket.once('close', () => {
      if (!this.readableEnded) this.push(null);
      this.end();
    });
    socket.resume();
    this.#waiting?.();
    this.#waiting = null;
  }
}

/** Bytes of the handshake; `refused` when it is none, null while it is not complete. */
function endOfHandshake(received: Buffer): number | 'refused' | null {
  const line = received.indexOf('\n');
  if (line < 0) return received.length < MAX_HANDSHAKE_BYTES ? null : 'refused';
  if (!/^OK \d{1,10}$/.test(received.toString('latin1', 0, line))) return 'refused';
  if (received.length === line + 1) return null;
  return received[line + 1] === GREETING ? line + 2 : 'refused';
}
