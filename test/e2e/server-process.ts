import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { hasEnded, listPids, readProcess } from '../../src/base/process-table.js';
import { cleanEnvironment, type Installation, MAIN } from '../cli/command-line.js';

/** The part of an answer of POST /run that these tests look at. */
export interface RunAnswer {
  readonly receipt_id: string;
  readonly execution_id: string;
  readonly status: string;
  readonly exit_code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdout_bytes: number;
  readonly stdout_truncated: boolean;
  readonly files: readonly AnsweredFile[];
  readonly files_complete: boolean;
}

export interface AnsweredFile {
  readonly path: string;
  readonly size: number;
  readonly mode: string;
  readonly sha256: string | null;
  readonly content?: string;
  readonly encoding?: string;
}

/** A server in a process of its own, as a user starts it. */
export class ServerProcess implements AsyncDisposable {
  readonly url: string;
  readonly child: ChildProcess;
  /** Resolves to the exit code, or the name of the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals | null>;
  readonly #log: { text: string };
  readonly #spool: string;

  private constructor(child: ChildProcess, url: string, log: { text: string }, spool: string) {
    this.child = child;
    this.url = url;
    this.#log = log;
    this.#spool = spool;
    this.exited = exitOf(child);
  }

  /**
   * Starts one on a free port and resolves when it has said that it is ready. Nothing waits to be used unless `flags`
   * say so: every machine that is there has a program.
   */
  static async start(installation: Installation, flags: readonly string[] = []): Promise<ServerProcess> {
    const nothingWaits = ['--pool-size', '0', '--templates', 'off'];
    const child = spawnServer(installation, ['--port', '0', ...nothingWaits, ...flags]);
    const log = { text: '' };
    child.stderr?.on('data', (chunk: Buffer) => (log.text += chunk.toString()));
    const { stdout } = child;
    if (stdout === null) throw new Error('the server has no stdout');
    for await (const line of createInterface({ input: stdout })) {
      const url = /^Glasshouse listens on (http:\/\/\S+) - try: curl /.exec(line)?.[1];
      if (url === undefined) throw new Error(`not the line that says it is ready: ${line}`);
      return new ServerProcess(child, url, log, join(installation.dataDirectory, 'spool'));
    }
    throw new Error(`the server ended before it was ready: ${log.text}`);
  }

  /** What it has logged so far. */
  get log(): string {
    return this.#log.text;
  }

  async run(body: object, signal?: AbortSignal): Promise<Response> {
    return fetch(`${this.url}/run`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: signal ?? null,
    });
  }

  /** Runs a program and answers with events; resolves when they begin. */
  async stream(body: object, signal?: AbortSignal): Promise<Response> {
    return fetch(`${this.url}/run`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify(body),
      signal: signal ?? null,
    });
  }

  /** Runs a program whose answer has to be 200. */
  async answer(body: object): Promise<RunAnswer> {
    const response = await this.run(body);
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${response.status}: ${text}`);
    return JSON.parse(text) as RunAnswer;
  }

  async getJson(path: string): Promise<unknown> {
    return (await this.get(path)).json();
  }

  async getBytes(path: string): Promise<Buffer> {
    return Buffer.from(await (await this.get(path)).arrayBuffer());
  }

  async get(path: string): Promise<Response> {
    const response = await fetch(`${this.url}${path}`);
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  /** The virtual machines that run for this server: who has a file of its spool directory open, itself aside. */
  machines(): number[] {
    return machinesOf(this.#spool).filter((pid) => pid !== this.child.pid);
  }

  /**
   * Resolves when a program runs in a virtual machine of this server, told by the workspace that its QEMU has open
   * and by the server's own count.
   */
  async running(count = 1): Promise<void> {
    await until(async () => {
      const health = (await this.getJson('/health')) as { in_flight: number };
      return health.in_flight >= count && this.machines().length >= count;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.exited;
  }
}

/** Starts `glasshouse serve`, whatever becomes of it. */
export function spawnServer(installation: Installation, flags: readonly string[]): ChildProcess {
  return spawn(process.execPath, [MAIN, 'serve', ...flags], {
    cwd: installation.directory,
    env: { ...cleanEnvironment(), GLASSHOUSE_DATA_DIR: installation.dataDirectory },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function exitOf(child: ChildProcess): Promise<number | NodeJS.Signals | null> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      resolve(signal ?? code);
    });
  });
}

/** Every process with an open file below a directory, nameless files included. */
export function machinesOf(directory: string): number[] {
  return listPids().filter((pid) => {
    const entry = readProcess(pid);
    return entry !== null && !hasEnded(entry) && openFiles(pid).some((file) => file.startsWith(directory));
  });
}

function openFiles(pid: number): string[] {
  try {
    const directory = `/proc/${pid}/fd`;
    return readdirSync(directory).map((descriptor) => readLink(join(directory, descriptor)));
  } catch {
    return []; // It ended meanwhile, or belongs to somebody else.
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // Closed meanwhile.
  }
}

/** Resolves when `condition` holds; the test runner's own time limit ends a test in which it never does. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
}
