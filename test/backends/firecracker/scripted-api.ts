import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** An HTTP server on a Unix socket that answers as a test says: what a monitor that was taken over could say. */
export class ScriptedApi implements AsyncDisposable {
  readonly #server: Server;
  onConnection: (() => void) | null = null;

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', () => this.onConnection?.());
  }

  static async listen(socketPath: string, answer: Answer): Promise<ScriptedApi> {
    const server = createServer(answer).listen(socketPath);
    await once(server, 'listening');
    return new ScriptedApi(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
