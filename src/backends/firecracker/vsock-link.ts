import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** Where guest init listens, and what it says when it has accepted: docs/guest-link.md, "Over vsock". */
const LINK_PORT = 1000;
const GREETING = 1;
/** `OK `, a number of 32 bits, the end of the line, and the greeting. */
const MAX_HANDSHAKE_BYTES = 16;
const RETRY_MS = 3;

/**
 * The guest link over Firecracker's vsock. It connects by itself, as often as it takes until guest init listens; what
 * is written before that waits. Whoever reads it and loses patience destroys it.
 */
export class VsockLink extends Duplex {
  readonly #socketPath: string;
  #socket: Socket | null = null;
  /** The one write that may wait for the connection. */
  #waiting: (() => void) | null = null;

  constructor(socketPath: string) {
    super({ allowHalfOpen: false });
    this.#socketPath = socketPath;
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
    while (!this.destroyed) {
      const socket = await this.#attempt();
      if (socket !== null) {
        this.#adopt(socket);
        return;
      }
      await sleep(RETRY_MS);
    }
  }

  /** A connection that guest init has greeted; null when there is none to be had yet. */
  #attempt(): Promise<Socket | null> {
    return new Promise((resolve) => {
      const socket = connect(this.#socketPath);
      const giveUp = (): void => {
        socket.destroy();
      };
      let received = Buffer.alloc(0);
      const take = (chunk: Buffer): void => {
        received = Buffer.concat([received, chunk]);
        const end = endOfHandshake(received);
        if (end === 'refused') giveUp();
        if (typeof end !== 'number') return;
        socket.off('data', take);
        socket.pause();
        this.off('close', giveUp);
        if (received.length > end) socket.unshift(received.subarray(end));
        resolve(socket);
      };
      this.once('close', giveUp);
      // Why it failed does not matter: it is tried again. After the handshake, the end of the stream tells.
      socket.on('error', giveUp);
      socket.on('data', take);
      socket.once('connect', () => socket.write(`CONNECT ${LINK_PORT}\n`));
      socket.once('close', () => {
        this.off('close', giveUp);
        resolve(null);
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
