import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

/** The real server in a process of its own, with a data directory that vanishes with it. */
export class BenchServer implements AsyncDisposable {
  readonly address: string;
  readonly #child: ChildProcess;
  readonly #directory: string;

  private constructor(address: string, child: ChildProcess, directory: string) {
    this.address = address;
    this.#child = child;
    this.#directory = directory;
  }

  static async start(main: string): Promise<BenchServer> {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'glasshouse-bench-'));
    const args = [main, 'serve', '--port', '0', '--data-dir', directory, '--log-level', 'error'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    for await (const chunk of child.stdout) {
      text += String(chunk);
      const address = /listens on (http:\/\/\S+)/.exec(text)?.[1];
      if (address !== undefined) return new BenchServer(address, child, directory);
    }
    await rm(directory, { recursive: true, force: true });
    throw new Error('the server did not start');
  }

  async run(body: object): Promise<Record<string, unknown>> {
    const response = await fetch(`${this.address}/run`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return (await response.json()) as Record<string, unknown>;
  }

  /** The predicate of a stored receipt. */
  async predicate(receiptId: string): Promise<Record<string, unknown>> {
    const response = await fetch(`${this.address}/receipts/${receiptId}?format=statement`);
    return ((await response.json()) as { predicate: Record<string, unknown> }).predicate;
  }

  /** Largest resident memory so far (VmHWM, proc(5)) of every virtual machine monitor that runs now, in KiB. */
  async monitorPeaksKb(): Promise<number[]> {
    const peaks: number[] = [];
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      if (!status.startsWith('Name:\tqemu-system') || !status.includes(`\nPPid:\t${this.#child.pid ?? 0}\n`))
        continue;
      peaks.push(Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0));
    }
    return peaks;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await ended;
    await rm(this.#directory, { recursive: true, force: true });
  }
}
