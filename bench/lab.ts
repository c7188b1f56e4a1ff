import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { lineOfDescent } from '../src/backends/firecracker/firecracker-process.js';
import { BareHttp } from './bare-http.js';
import { runPlainPython } from './cold.js';
import { median, printGoal, printSamples, type Sample, timed } from './measure.js';
import { BenchServer } from './server.js';

const PROGRAM = { code: 'print(2+2)' };
const STARTS = ['cold', 'restored', 'pooled'] as const;
/** Stages of a receipt in which the monitor or its guest works and Glasshouse waits; the program's own time is nobody's. */
const OF_OTHERS = ['vmm', 'kernel', 'clone', 'guest', 'program', 'collect'];
/**
 * Runs before those that count: an emulator translates, and the server's JavaScript is interpreted until it has run
 * often enough, which shows most where all others need least. A boot takes seconds, of which that is little.
 */
const WARM_UP_RUNS: Readonly<Record<Start, number>> = { cold: 1, restored: 30, pooled: 100 };
/** What Firecracker promises at most for itself, in MiB. */
const PROMISED_MB = 5;
const OWN_SHARE = 0.15;
/** Between two requests to a server that has nothing else to do. */
const BARE_PAUSE_MS = 300;

type Start = (typeof STARTS)[number];

interface Run {
  readonly totalMs: number;
  /** CPU time of the server itself, all threads: also for what it does beside the run, such as refilling its pool. */
  readonly cpuMs: number;
  /** As the receipt names them, and `program`, `collect` (guest init sends what it left), `receipt`, `rest`. */
  readonly stages: ReadonlyMap<string, number>;
}

/**
 * Firecracker and QEMU side by side on one machine: cold, restored, pooled, beside python3 without any of it.
 *
 * @param only some of these starts; all when empty.
 */
export async function benchLab(
  main: string,
  runs: number,
  backends: readonly string[],
  only: readonly string[],
): Promise<void> {
  const starts = STARTS.filter((start) => only.length === 0 || only.includes(start));
  const totals: Sample[] = [];
  for (const backend of backends) {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'glasshouse-lab-'));
    try {
      for (const start of starts) {
        const measured = await measure(main, ['--backend', backend, '--data-dir', directory], start, runs);
        totals.push({ name: `${backend}, ${start}`, values: measured.map(({ totalMs }) => totalMs) });
        printStages(`${backend}, ${start}`, measured);
      }
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
  const plain: number[] = [];
  for (let run = 0; run < runs; run += 1) plain.push(await timed(runPlainPython));
  const python: Sample = { name: 'python3 -c', values: plain };
  printSamples('POST /run', [...totals, await measureBareHttp(runs), python], python);
}

/** The part of the time of Glasshouse that any server on Node.js would take, at the pace of pooled runs. */
async function measureBareHttp(runs: number): Promise<Sample> {
  await using server = await BareHttp.start();
  const values: number[] = [];
  for (let run = -WARM_UP_RUNS.pooled; run < runs; run += 1) {
    await delay(BARE_PAUSE_MS);
    const ms = await timed(() => server.post(PROGRAM));
    if (run >= 0) values.push(ms);
  }
  return { name: 'a request that does nothing', values };
}

/** `start`, as the receipt of every run must say. A server of its own, which finds what the one before it has made. */
async function measure(
  main: string,
  flags: readonly string[],
  start: Start,
  runs: number,
): Promise<readonly Run[]> {
  await using server = await BenchServer.start(main, [
    ...flags,
    '--pool-size',
    start === 'pooled' ? '1' : '0',
  ]);
  const measured: Run[] = [];
  for (let run = -WARM_UP_RUNS[start]; run < runs; run += 1) {
    if (start === 'pooled') await server.poolIsFull();
    if (start === 'pooled' && run === 0) await printMonitors(server);
    const one = await runOnce(server, start);
    if (run >= 0) measured.push(one);
  }
  return measured;
}

async function runOnce(server: BenchServer, start: Start): Promise<Run> {
  let answer: Record<string, unknown> = {};
  const cpuBefore = await cpuTimeMs(server.pid);
  const totalMs = await timed(async () => {
    answer = await server.run({ ...PROGRAM, fresh: start === 'cold' });
  });
  const cpuMs = (await cpuTimeMs(server.pid)) - cpuBefore;
  if (answer['stdout'] !== '4\n') throw new Error(`wrong answer: ${JSON.stringify(answer)}`);
  const predicate = await server.predicate(String(answer['receipt_id']));
  const execution = predicate['execution'] as { start: string };
  if (execution.start !== start) throw new Error(`a guest was ${execution.start} and not ${start}`);
  const timings = answer['timings'] as Record<string, number>;
  const boot = (predicate['timing'] as { boot_stages: Record<string, number> }).boot_stages;
  const stages = new Map(
    Object.entries(boot).map(([name, micros]) => [name.replace(/_us$/, ''), micros / 1000]),
  );
  stages.set('program', timings['run_ms'] ?? 0);
  stages.set('collect', timings['collect_ms'] ?? 0);
  stages.set('receipt', timings['receipt_ms'] ?? 0);
  stages.set('rest', totalMs - [...stages.values()].reduce((sum, value) => sum + value, 0));
  return { totalMs, cpuMs, stages };
}

function printStages(name: string, runs: readonly Run[]): void {
  const names = [...(runs[0]?.stages.keys() ?? [])];
  const samples = names.map((stage) => ({
    name: stage,
    values: runs.map(({ stages }) => stages.get(stage) ?? 0),
  }));
  const total = { name: 'total', values: runs.map(({ totalMs }) => totalMs) };
  const cpu = { name: 'CPU of the server', values: runs.map(({ cpuMs }) => cpuMs) };
  printSamples(name, [...samples, total, cpu], total);
  const own = runs.map(({ totalMs, stages }) => (totalMs - timeOfOthers(stages)) / totalMs);
  printGoal(
    `${name}: time of Glasshouse itself, median`,
    median(own) * 100,
    OWN_SHARE * 100,
    '% of the total',
  );
  console.log('');
}

function timeOfOthers(stages: ReadonlyMap<string, number>): number {
  return OF_OTHERS.reduce((sum, name) => sum + (stages.get(name) ?? 0), 0);
}

/** User and system time of a process (proc_pid_stat(5), fields 14 and 15), in hundredths of a second. */
async function cpuTimeMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Memory that each monitor has resident beside its guest's: of every mapping but the largest (proc_pid_smaps(5)). */
async function printMonitors(server: BenchServer): Promise<void> {
  for (const pid of lineOfDescent(server.pid).slice(1)) {
    const name = (await readFile(`/proc/${pid}/comm`, 'latin1')).trim();
    const mappings = parse(await readFile(`/proc/${pid}/smaps`, 'latin1'));
    const guest = mappings.reduce((largest, mapping) =>
      mapping.sizeKb > largest.sizeKb ? mapping : largest,
    );
    const isMonitor = /^(firecracker|qemu-system)/.test(name);
    const others = isMonitor ? mappings.filter((mapping) => mapping !== guest) : mappings;
    const residentMb = others.reduce((sum, { residentKb }) => sum + residentKb, 0) / 1024;
    const ownMb = others.reduce((sum, { privateKb }) => sum + privateKb, 0) / 1024;
    console.log(`${name}: ${residentMb.toFixed(2)} MiB resident, ${ownMb.toFixed(2)} MiB of them its own`);
    if (name !== 'firecracker') continue;
    const programMb =
      others.reduce((sum, { residentKb, file }) => sum + (file === '' ? 0 : residentKb), 0) / 1024;
    console.log(`${name}: ${programMb.toFixed(2)} MiB of it are the program, the rest heap and stacks`);
    printGoal('memory of Firecracker beside its guest', residentMb, PROMISED_MB, 'MiB');
  }
}

interface Mapping {
  /** Of the file system that is mapped; empty for what has none. */
  readonly file: string;
  readonly sizeKb: number;
  readonly residentKb: number;
  readonly privateKb: number;
}

function parse(smaps: string): Mapping[] {
  return smaps
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((text) => text !== '')
    .map((text) => ({
      file: /^\S+ \S+ \S+ \S+ \S+ +(\/.*)$/m.exec(text)?.[1] ?? '',
      sizeKb: kilobytes(text, 'Size'),
      residentKb: kilobytes(text, 'Rss'),
      privateKb: kilobytes(text, 'Private_Clean') + kilobytes(text, 'Private_Dirty'),
    }));
}

function kilobytes(mapping: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(mapping)?.[1] ?? 0);
}
