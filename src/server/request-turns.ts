import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type Socket } from 'node:net';

/** Requests of one connection that may wait for their turn; one more ends the connection. */
const MAX_WAITING = 16;

/**
 * Lets the requests of a connection be worked on one after the other (RFC 9112 section 9.3.2: those that a client sends
 * before it has its answers may be answered at the same time only when they change nothing). Node.js tells of them at
 * once, with a response that has no connection yet, and that says nothing when the connection ends before it gets one.
 */
export class RequestTurns {
  readonly #current = new WeakMap<Socket, ServerResponse>();
  readonly #waiting = new WeakMap<Socket, Set<(isItsTurn: boolean) => void>>();

  /** Resolves to true when every request before this one has its answer; to false when the connection ends before that. */
  comes(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { socket } = request;
    if (response.socket !== null) {
      this.#current.set(socket, response);
      return Promise.resolve(true);
    }
    if (socket.destroyed) return Promise.resolve(false);
    const waiting = this.#waitingOn(socket);
    if (waiting.size === MAX_WAITING) {
      socket.destroy();
      return Promise.resolve(false);
    }
    return new Promise((resolve) => {
      waiting.add(resolve);
      response.once('socket', () => {
        waiting.delete(resolve);
        this.#current.set(socket, response);
        resolve(true);
      });
    });
  }

  /** The answer that a connection is taken for now. Known as soon as Node.js tells of the request, not a moment later. */
  currentOn(socket: Socket): ServerResponse | undefined {
    const current = this.#current.get(socket);
    return current?.writableFinished === true ? undefined : current;
  }

  #waitingOn(socket: Socket): Set<(isItsTurn: boolean) => void> {
    const known = this.#waiting.get(socket);
    if (known !== undefined) return known;
    const waiting = new Set<(isItsTurn: boolean) => void>();
    this.#waiting.set(socket, waiting);
    socket.once('close', () => {
      for (const resolve of waiting) resolve(false);
      waiting.clear();
    });
    return waiting;
  }
}
