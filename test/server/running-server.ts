import { pino } from 'pino';
import { type BackendGauge } from '../../src/backends/backend.js';
import { loadConfiguration } from '../../src/config/load.js';
import { type SettingName } from '../../src/config/settings.js';
import { type AdmissionLoad } from '../../src/engine/admission.js';
import { type CompletedExecution } from '../../src/engine/completed.js';
import { type ExecutionRequest } from '../../src/engine/request.js';
import {
  type ExecutionEngine,
  type LogReader,
  type ReceiptReader,
  type ServerDependencies,
} from '../../src/server/dependencies.js';
import { type HttpServer } from '../../src/server/http-server.js';
import { createServer } from '../../src/server/server.js';
import { surroundings } from '../config/surroundings.js';

export const RECEIPT_ID = 'ab'.repeat(32);
export const EXECUTION_ID = '01890a5d-ac96-774b-bcce-b302099a8057';

/** An execution that printed 4. */
export const COMPLETED: CompletedExecution = {
  executionId: EXECUTION_ID,
  receiptId: RECEIPT_ID,
  status: 'ok',
  exitCode: 0,
  signal: null,
  stdout: { kept: Buffer.from('4\n'), totalBytes: 2, truncated: false },
  stderr: { kept: Buffer.from(''), totalBytes: 0, truncated: false },
  files: [],
  filesComplete: true,
  durationMs: 12,
  timings: { queueMs: 1, bootMs: 2, runMs: 3, collectMs: 5, receiptMs: 4, bootStages: {} },
  error: null,
};

/** What an idle engine has. */
export const IDLE: AdmissionLoad = {
  running: 0,
  queued: 0,
  waitingClients: 0,
  memoryMb: 0,
  cpus: 0,
  limits: { maxConcurrent: 4, memoryMb: 6144, cpus: 4, maxQueued: 64, queueTimeoutMs: 60_000 },
};

/** Records what reaches it; whether anything does is what most tests here are about. */
export class RecordingEngine {
  readonly requests: ExecutionRequest[] = [];
  load = IDLE;
  retryAfterMs = 7000;
  behaviour: (signal: AbortSignal, request: ExecutionRequest) => Promise<CompletedExecution> = () =>
    Promise.resolve(COMPLETED);

  run(request: ExecutionRequest, signal: AbortSignal): Promise<CompletedExecution> {
    this.requests.push(request);
    return this.behaviour(signal, request);
  }

  gauges(): readonly BackendGauge[] {
    return [{ name: 'pool_ready', help: 'Clones that are ready.', value: 3 }];
  }
}

export const EMPTY_STORE: ReceiptReader = {
  get: () => null,
  list: () => [],
  readStdout: () => null,
  readStderr: () => null,
  fileEntry: () => null,
  readFile: () => [],
};

export const EMPTY_LOG: LogReader = {
  latest: () => null,
  readHash: () => {
    throw new Error('the log is empty');
  },
  entries: () => [],
};

export interface RunningServer<Engine extends ExecutionEngine = RecordingEngine> extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly server: HttpServer;
  readonly engine: Engine;
  /** Everything logged so far, as text. */
  log(): string;
  post(body: unknown): Promise<Response>;
}

export interface ServerChanges extends Partial<Omit<ServerDependencies, 'engine' | 'config' | 'logger'>> {
  readonly settings?: Readonly<Partial<Record<SettingName, string>>>;
}

/** A server that listens on a free port of the loopback interface, with a recording engine behind it. */
export function startServer(changes: ServerChanges = {}): Promise<RunningServer> {
  return startServerOver(new RecordingEngine(), changes);
}

/** The same with another engine behind it. */
export async function startServerOver<Engine extends ExecutionEngine>(
  engine: Engine,
  { settings = {}, ...changes }: ServerChanges = {},
): Promise<RunningServer<Engine>> {
  const lines: string[] = [];
  const server = await createServer({
    store: EMPTY_STORE,
    log: EMPTY_LOG,
    encodeBundle: () => Buffer.from('{}'),
    backendStatus: () => ({ ready: true, detail: null, description: null }),
    version: '1.2.3',
    ...changes,
    engine,
    config: loadConfiguration({
      flags: { port: '0', data_dir: '/nonexistent', ...settings },
      configFile: null,
      surroundings: surroundings(),
    }),
    logger: pino({ level: 'trace' }, { write: (line: string) => lines.push(line) }),
  });
  const url = await server.listen();
  return {
    url,
    port: Number(new URL(url).port),
    server,
    engine,
    log: () => lines.join(''),
    post: (body) => postJson(url, JSON.stringify(body)),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

export function postJson(url: string, body: string | Uint8Array<ArrayBuffer>): Promise<Response> {
  return fetch(`${url}/run`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
}

export interface ProblemAnswer {
  readonly status: number;
  readonly code: string;
  readonly field: string | undefined;
  readonly detail: string;
}

/** Reads an answer that has to be a problem document, and checks what holds for all of them. */
export async function problemOf(response: Response): Promise<ProblemAnswer & Record<string, unknown>> {
  const type = response.headers.get('content-type') ?? '';
  if (!type.startsWith('application/problem+json')) throw new Error(`not a problem: ${type}`);
  const body = (await response.json()) as ProblemAnswer & Record<string, unknown>;
  if (body.status !== response.status)
    throw new Error('the status in the document is not that of the answer');
  return body;
}
