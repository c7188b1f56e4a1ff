import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { HttpClient } from './http-client.js';

const SERVER = fileURLToPath(new URL('bare-http-server.js', import.meta.url));

/** A server of Node.js alone in a process of its own: what a request costs that does nothing. */
export class BareHttp implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #address: string;
  readonly #client = new HttpClient();

  private constructor(child: ChildProcess, address: string) {
    this.#child = child;
    this.#address = address;
  }

  static async start(): Promise<BareHttp> {
    const child = spawn(process.execPath, [SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [address] = (await once(child.stdout, 'data')) as [Buffer];
    return new BareHttp(child, String(address).trim());
  }

  async post(body: object): Promise<void> {
    await this.#client.post(this.#address, body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client[Symbol.dispose]();
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}
