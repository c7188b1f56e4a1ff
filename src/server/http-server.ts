import { GlasshouseError, systemErrorCode } from '../base/errors.js';
import { type App } from './app.js';
import { type ServerState } from './server-state.js';

/** Time that a client has to read its answer once the server stops, in milliseconds. */
const ANSWER_GRACE_MS = 2000;

/** Why listen(2) or bind(2) refuses an address that somebody chose. */
const REFUSED_ADDRESSES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'something else listens there already',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EACCES: 'this user may not listen there',
  ENOTFOUND: 'there is no machine of that name',
};

/** The HTTP server: listens, and stops without leaving anything behind. */
export class HttpServer implements AsyncDisposable {
  readonly app: App;
  readonly #state: ServerState;
  readonly #address: { readonly host: string; readonly port: number };
  #closed: Promise<void> | null = null;

  constructor(app: App, state: ServerState, address: { host: string; port: number }) {
    this.app = app;
    this.#state = state;
    this.#address = address;
  }

  /**
   * @returns where it listens, for example `http://127.0.0.1:8080`.
   * @throws GlasshouseError configuration_invalid when the address cannot be had.
   */
  async listen(): Promise<string> {
    try {
      return await this.app.listen(this.#address);
    } catch (cause) {
      const why = REFUSED_ADDRESSES[systemErrorCode(cause) ?? ''];
      if (why === undefined) throw cause;
      const { host, port } = this.#address;
      throw new GlasshouseError(
        'configuration_invalid',
        `Cannot listen on ${host} port ${port}: ${why}. Choose another with --host and --port.`,
        { cause },
      );
    }
  }

  /**
   * Stops accepting, lets running executions end for `graceMs` milliseconds, then cancels them, and resolves
   * when every answer has been sent and every connection is closed. Call again to shorten the wait.
   */
  async closeGracefully({ graceMs }: { readonly graceMs: number }): Promise<void> {
    const cancel = setTimeout(() => {
      this.#state.running.abortAll('Glasshouse is shutting down.');
    }, graceMs);
    try {
      this.#closed ??= this.#close();
      await this.#closed;
    } finally {
      clearTimeout(cancel);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.closeGracefully({ graceMs: 0 });
  }

  async #close(): Promise<void> {
    this.#state.closing = true;
    const closed = this.app.close();
    // No run starts any more, so this is the last of them.
    await this.#state.running.settled();
    const closeConnections = (): void => {
      this.app.server.closeAllConnections();
    };
    // Who reads slowly, or still sends a body that nobody will look at, is cut off.
    const cutOff = setTimeout(closeConnections, ANSWER_GRACE_MS);
    try {
      await this.#state.openRequests.answered();
      // Node.js keeps connections open on which nothing was ever sent; see closeIdleConnections().
      closeConnections();
      await closed;
    } finally {
      clearTimeout(cutOff);
    }
  }
}
