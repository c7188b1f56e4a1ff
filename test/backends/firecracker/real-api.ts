import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { FirecrackerApi } from '../../../src/backends/firecracker/api-client.js';
import { FILES } from '../../../src/backends/firecracker/machine-setup.js';
import { FIRECRACKER } from './firecracker-binary.js';

/** A real Firecracker that answers its API in a directory, and does nothing of its own accord. */
export class RealApi implements AsyncDisposable {
  readonly api: FirecrackerApi;
  readonly directory: string;
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;

  private constructor(child: ChildProcess, directory: string) {
    const ended = new AbortController();
    this.#closed = once(child, 'close').then(() => {
      ended.abort();
    });
    this.#child = child;
    this.directory = directory;
    this.api = new FirecrackerApi(join(directory, FILES.api), ended.signal);
  }

  static async start(directory: string): Promise<RealApi> {
    const child = spawn(FIRECRACKER ?? '', ['--api-sock', FILES.api, '--level', 'Warning'], {
      cwd: directory,
      stdio: 'ignore',
      env: {},
    });
    const real = new RealApi(child, directory);
    await real.api.awaitReady(15_000);
    return real;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal);
    await this.#closed;
    this.api[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
  }
}
