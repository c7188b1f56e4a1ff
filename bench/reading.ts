import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pino } from 'pino';

import { GlasshouseError } from '../src/base/errors.js';
import { loadConfiguration, readSurroundings } from '../src/config/load.js';
import { Admission } from '../src/engine/admission.js';
import { encodeBundle } from '../src/receipts/bundle.js';
import { KeyRing } from '../src/receipts/key-ring.js';
import { ReceiptStore } from '../src/receipts/store.js';
import { createServer } from '../src/server/server.js';
import { printGoal, printSamples, quantile, type Sample, timed } from './measure.js';
import { codeOf, fillStore, startOf } from './million-receipts.js';

const REQUESTS = 200;
const CLI_RUNS = 5;
const GOAL_MS = 50;
const WATCH_INTERVAL_MS = 100;

/**
 * `list` and `show` over HTTP and on the command line, and the memory of `export`, with `count` receipts in the store.
 * @param kept a data directory that is filled if it has no receipts yet, and stays; null: one that is removed.
 */
export async function benchReading(main: string, count: number, kept: string | null): Promise<void> {
  const directory = kept ?? (await mkdtemp(path.join(os.tmpdir(), 'glasshouse-bench-')));
  try {
    if (!existsSync(path.join(directory, 'glasshouse.db'))) await fillStore(directory, count);
    await benchHttp(directory, count);
    await benchCommands(main, directory, count);
    await benchExport(main, directory, count);
  } finally {
    if (kept === null) await rm(directory, { recursive: true });
  }
}

/** What is asked for, by name; each round asks for another one, from all over the store. */
function queries(count: number): Readonly<Record<string, (round: number, id: string) => string>> {
  const far = (round: number): number => Math.floor((count * (round % 97)) / 97);
  return {
    'GET /receipts (newest)': () => '/receipts',
    '  ?before= (anywhere)': (_, id) => `/receipts?before=${id}`,
    '  ?status=ok (90%)': () => '/receipts?status=ok',
    '  ?status=oom (0.01%)': () => '/receipts?status=oom',
    '  ?status=oom&backend=process (none)': () => '/receipts?status=oom&backend=process',
    '  ?since&until (a day)': (round) =>
      `/receipts?since=${startOf(far(round))}&until=${startOf(far(round) + 8_640)}`,
    '  ?code_sha256 (0.1%)': (round) => `/receipts?code_sha256=${codeOf(round * 10)}`,
    '  ?text (every one)': () => '/receipts?text=job',
    '  ?text (1%)': () => '/receipts?text=alpha+bravo',
    '  ?text (one)': (round) => `/receipts?text=unique${far(round)}`,
    '  ?text&status&before (0.1%, old)': (_, id) => `/receipts?text=golf+hotel&status=error,oom&before=${id}`,
    'GET /receipts/{id}': (_, id) => `/receipts/${id}`,
  };
}

async function benchHttp(directory: string, count: number): Promise<void> {
  using store = ReceiptStore.open(directory);
  const ring = KeyRing.open(path.join(directory, 'keys'));
  const ids = Array.from({ length: REQUESTS }, (_, round) => {
    const until = startOf(Math.floor((count * (round + 1)) / REQUESTS));
    return store.list({ limit: 1, before: null }, { ...NO_FILTER, until })[0]?.receiptId ?? '';
  });
  await using server = await createServer({
    engine: {
      run: () => Promise.reject(new GlasshouseError('internal', 'Nothing is run here.')),
      load: new Admission(NOTHING_RUNS).load,
      retryAfterMs: 0,
      gauges: () => [],
    },
    store,
    log: store.log,
    encodeBundle: ({ receiptId, envelope }) => {
      const proof = store.proofOf(receiptId);
      if (proof === null) throw new GlasshouseError('log_corrupt', 'The receipt is not in the log.');
      return encodeBundle({ receiptId, envelopeBytes: envelope }, ring.publicKeyPem, proof);
    },
    backendStatus: () => ({ ready: true, detail: null, description: null }),
    config: loadConfiguration({ flags: { port: '0' }, configFile: null, surroundings: readSurroundings() }),
    logger: pino({ level: 'silent' }),
    version: '0',
  });
  const address = await server.listen();
  const samples: (Sample & { values: number[] })[] = [];
  for (const [name, pathOf] of Object.entries(queries(count))) {
    const sample = { name, values: [] as number[] };
    for (let round = 0; round < REQUESTS; round += 1) {
      const url = address + pathOf(round, ids[(round * 61) % ids.length] ?? '');
      sample.values.push(await timed(() => get(url)));
    }
    samples.push(sample);
  }
  const [reference] = samples;
  if (reference !== undefined) printSamples(`${count} receipts`, samples, reference);
  for (const { name, values } of samples)
    printGoal(`${name.trim()}, p95`, quantile(values, 0.95), GOAL_MS, 'ms');
  console.log('');
}

const NOTHING_RUNS = { maxConcurrent: 1, memoryMb: 1, cpus: 1, maxQueued: 0, queueTimeoutMs: 1 };
const NO_FILTER = { statuses: null, since: null, until: null, backend: null, codeSha256: null, text: null };

async function get(url: string): Promise<void> {
  const response = await fetch(url);
  const body = await response.text();
  if (response.status !== 200) throw new Error(`${url}: ${response.status} ${body}`);
}

/** Whole processes, beside one that does nothing: what is beyond it is ours. */
async function benchCommands(main: string, directory: string, count: number): Promise<void> {
  const ours = ['--data-dir', directory];
  const commands: Readonly<Record<string, readonly string[]>> = {
    'node -e 0': ['-e', '0'],
    'receipts list': [main, 'receipts', 'list', ...ours],
    'receipts list --text': [main, 'receipts', 'list', ...ours, '--text', `unique${Math.floor(count / 3)}`],
    'receipts show': [main, 'receipts', 'show', ...ours],
  };
  const samples = Object.keys(commands).map((name) => ({ name, values: [] as number[] }));
  for (let round = -1; round < CLI_RUNS; round += 1)
    for (const sample of samples) {
      const elapsed = await timed(() => ended(start(commands[sample.name] ?? [])));
      if (round >= 0) sample.values.push(elapsed);
    }
  const [node] = samples;
  if (node !== undefined) printSamples('command', samples, node);
}

/** Resident memory at parts of the way through: flat means that the last is no more than the first. */
async function benchExport(main: string, directory: string, count: number): Promise<void> {
  const child = start([main, 'receipts', 'export', '--since', '1970-01-01', '--data-dir', directory], 'pipe');
  const rss: number[] = [];
  let bytes = 0;
  let lines = 0;
  const watch = setInterval(
    () => void residentKb(child.pid ?? 0).then((kb) => kb > 0 && rss.push(kb)),
    WATCH_INTERVAL_MS,
  );
  const begunAt = performance.now();
  for await (const chunk of child.stdout ?? []) {
    bytes += (chunk as Buffer).length;
    for (const byte of chunk as Buffer) if (byte === 10) lines += 1;
  }
  clearInterval(watch);
  const seconds = (performance.now() - begunAt) / 1000;
  if (lines !== count) throw new Error(`${lines} lines instead of ${count}`);
  const part = (from: number, to: number): number =>
    quantile(rss.slice(Math.floor(rss.length * from), Math.ceil(rss.length * to)), 0.5) / 1024;
  console.log(`export: ${lines} receipts, ${(bytes / 1e6).toFixed(0)} MB in ${seconds.toFixed(1)} s`);
  console.log(
    `resident memory, median of each fifth: ${[0, 1, 2, 3, 4].map((n) => part(n / 5, (n + 1) / 5).toFixed(0)).join(', ')} MiB; largest ${(Math.max(...rss) / 1024).toFixed(0)} MiB`,
  );
  printGoal('memory of the last fifth to the second', part(0.8, 1) / part(0.2, 0.4), 1.2, 'x');
  console.log('');
}

function start(args: readonly string[], stdout: 'ignore' | 'pipe' = 'ignore'): ChildProcess {
  return spawn(process.execPath, args, { stdio: ['ignore', stdout, 'inherit'] });
}

async function ended(child: ChildProcess): Promise<void> {
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`ended with ${code ?? 'a signal'}`);
}

/** VmRSS of proc(5); 0 when the process is gone. */
async function residentKb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0);
}
