import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { COLLECTS_GARBAGE } from './garbage-on-signal.js';
import { type Answer, HttpClient } from './http-client.js';

const GAUGE_INTERVAL_MS = 100;

/** What a server has of its machine. */
export interface Holdings {
  readonly residentKb: number;
  readonly descriptors: number;
  /** Its children. */
  readonly processes: number;
  /** Entries of its data directory. */
  readonly files: number;
}

/** The real server in a process of its own, with a data directory that vanishes with it. */
export class BenchServer implements AsyncDisposable {
  readonly address: string;
  readonly #child: ChildProcess;
  readonly #directory: string;
  readonly #client = new HttpClient();

  private constructor(address: string, child: ChildProcess, directory: string) {
    this.address = address;
    this.#child = child;
    this.#directory = directory;
  }

  /** `flags` are further options of `glasshouse serve`. */
  static async start(main: string, flags: readonly string[] = []): Promise<BenchServer> {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'glasshouse-bench-'));
    const own = ['--port', '0', '--data-dir', directory, '--log-level', 'error'];
    const args = [...COLLECTS_GARBAGE, main, 'serve', ...own, ...flags];
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

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async run(body: object): Promise<Record<string, unknown>> {
    return JSON.parse((await this.post(body)).text) as Record<string, unknown>;
  }

  post(body: object): Promise<Answer> {
    return this.#client.post(`${this.address}/run`, body);
  }

  /** What it holds at this moment. */
  async holdings(): Promise<Holdings> {
    const pid = this.#child.pid ?? 0;
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    return {
      residentKb: Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0),
      descriptors: (await readdir(`/proc/${pid}/fd`)).length,
      processes: (await this.#processes()).length,
      files: (await readdir(this.#directory, { recursive: true })).length,
    };
  }

  /** The same when the runtime has let go of all that nothing refers to. */
  async holdingsWithoutGarbage(): Promise<Holdings> {
    this.#child.kill('SIGUSR2');
    // The server takes the signal before it takes the second of two requests in a row.
    for (let request = 0; request < 2; request += 1) await (await fetch(`${this.address}/health`)).text();
    return this.holdings();
  }

  /** The predicate of a stored receipt. */
  async predicate(receiptId: string): Promise<Record<string, unknown>> {
    const response = await fetch(`${this.address}/receipts/${receiptId}?format=statement`);
    return ((await response.json()) as { predicate: Record<string, unknown> }).predicate;
  }

  /** Largest resident memory so far (VmHWM, proc(5)) of every virtual machine monitor that runs now, in KiB. */
  async monitorPeaksKb(): Promise<number[]> {
    const monitors = await this.#monitors();
    return monitors.map(({ status }) => Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0));
  }

  /**
   * Process ids of the virtual machine monitors that run now: `clones` of those that have a guest for one program,
   * `templates` of those that they are copied from.
   */
  async monitors(): Promise<{ clones: string[]; templates: string[] }> {
    const monitors = await this.#monitors();
    const parents = new Set(monitors.map(({ parent }) => parent));
    const pidsOf = (isTemplate: boolean): string[] =>
      monitors.filter(({ pid }) => parents.has(pid) === isTemplate).map(({ pid }) => pid);
    return { clones: pidsOf(false), templates: pidsOf(true) };
  }

  async #monitors(): Promise<Process[]> {
    return (await this.#processes()).filter(({ status }) => status.startsWith('Name:\tqemu-system'));
  }

  /** Everything that it has started, and what that has. */
  async #processes(): Promise<Process[]> {
    const processes = await allProcesses();
    const found = new Set([String(this.#child.pid ?? 0)]);
    // A number may be lower than the parent's: look until no more are found.
    for (let before = 0; before < found.size;) {
      before = found.size;
      for (const { pid, parent } of processes) if (found.has(parent)) found.add(pid);
    }
    return processes.filter(({ parent }) => found.has(parent));
  }

  /** The value of a metric without labels; null when there is none of that name. */
  async gauge(name: string): Promise<number | null> {
    const text = await (await fetch(`${this.address}/metrics`)).text();
    const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1];
    return value === undefined ? null : Number(value);
  }

  /** Resolves when a metric has at least this value. */
  async gaugeReaches(name: string, value: number): Promise<void> {
    while (((await this.gauge(name)) ?? 0) < value) await delay(GAUGE_INTERVAL_MS);
  }

  async poolIsFull(): Promise<void> {
    await this.gaugeReaches('glasshouse_pool_ready', (await this.gauge('glasshouse_pool_size')) ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client[Symbol.dispose]();
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await ended;
    await rm(this.#directory, { recursive: true, force: true });
  }
}

interface Process {
  readonly pid: string;
  readonly parent: string;
  /** proc(5). */
  readonly status: string;
}

async function allProcesses(): Promise<Process[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  // Those that end meanwhile have none.
  const statuses = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')),
  );
  return statuses.flatMap((status, index) => {
    const parent = /^PPid:\t(\d+)$/m.exec(status)?.[1];
    return parent === undefined ? [] : [{ pid: pids[index] ?? '', parent, status }];
  });
}
