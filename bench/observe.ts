import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { CORPUS } from '../test/observe/corpus.js';
import { Arena } from '../test/observe/run-workload.js';
import { predicateOf } from '../test/cli/command-line.js';
import { printSamples, type Sample } from './measure.js';

type Argv = readonly [string, ...string[]];

/** A way to watch a command, or none. */
interface Watcher {
  readonly name: string;
  readonly wrap: (argv: Argv) => Argv;
}

interface Load {
  readonly name: string;
  /** Run by /bin/sh before each measurement. */
  readonly prepare: string;
  readonly argv: Argv;
}

/** Calls of the issue's storm: 200,000 pairs of open and close, 2,000,000 of getppid. */
const STORM = `
#include <fcntl.h>
#include <unistd.h>
#include <sys/syscall.h>
int main(void) {
  for (int i = 0; i < 200000; i++) { int fd = open("/etc/passwd", O_RDONLY); close(fd); }
  for (int i = 0; i < 2000000; i++) syscall(SYS_getppid);
}
`;
const C_FILES = 24;
const TRACE = '--seccomp-bpf -e trace=%file,%process,%network';
const BPFTRACE = `
tracepoint:syscalls:sys_enter_openat { @opens[pid] = count(); }
tracepoint:sched:sched_process_exec { @execs[pid] = count(); }
tracepoint:raw_syscalls:sys_enter { @calls = count(); }
`;
const BPFTRACE_RAW =
  'rawtracepoint:sys_enter { @calls = count(); } rawtracepoint:sched_process_exec { @execs = count(); }';

/** Compares receipts with strace, and measures what observation costs beside other tracers. */
export function benchObserve(main: string, runs: number): void {
  printAgreement();
  const directory = mkdtempSync(path.join(os.tmpdir(), 'glasshouse-bench-'));
  try {
    measure(directory, main, runs);
    measureStart(directory, main, runs);
    measureOthers(directory, main, runs);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Recall: what strace saw and the receipt has. Precision: what the receipt has and strace saw. */
function printAgreement(): void {
  using arena = new Arena();
  const sums = { strace: 0, receipt: 0, common: 0 };
  for (const workload of CORPUS) {
    if (workload.privileged === true && process.getuid?.() !== 0) continue;
    const { comparison, straceFacts, receiptFacts } = arena.see(workload);
    const { common, missing, invented } = comparison;
    sums.strace += straceFacts;
    sums.receipt += receiptFacts;
    sums.common += common;
    console.log(
      `${workload.name.padEnd(46)} recall ${percent(common, straceFacts)}  precision ${percent(common, receiptFacts)}`,
    );
    for (const fact of [...missing].slice(0, 5)) console.log(`  not in the receipt: ${JSON.stringify(fact)}`);
    for (const fact of [...invented].slice(0, 5))
      console.log(`  not seen by strace: ${JSON.stringify(fact)}`);
  }
  console.log(
    `all: ${sums.strace} facts, recall ${percent(sums.common, sums.strace)}, precision ${percent(sums.common, sums.receipt)}\n`,
  );
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(2)} %`;
}

function loads(directory: string): readonly Load[] {
  const storm = path.join(directory, 'storm');
  writeFileSync(`${storm}.c`, STORM);
  run(['cc', '-O2', '-o', storm, `${storm}.c`], directory);
  const project = path.join(directory, 'project');
  mkdirSync(project);
  const names = Array.from({ length: C_FILES }, (_, index) => `f${index}`);
  for (const name of names) {
    const functions = Array.from(
      { length: 200 },
      (_, n) => `int ${name}_${n}(int x) { return printf("%d", x * ${n}); }`,
    );
    writeFileSync(path.join(project, `${name}.c`), `#include <stdio.h>\n${functions.join('\n')}\n`);
  }
  writeFileSync(path.join(project, 'Makefile'), `all: ${names.map((name) => `${name}.o`).join(' ')}\n`);
  const python = 'for n in $(seq 50); do /usr/bin/python3 -c pass; done';
  return [
    { name: 'make -j2', prepare: 'rm -f project/*.o', argv: ['make', '-s', '-j2', '-C', project] },
    { name: '50 Python starts', prepare: 'true', argv: ['/bin/sh', '-c', python] },
    { name: 'storm of calls', prepare: 'true', argv: [storm] },
  ];
}

function watchers(directory: string, main: string): readonly Watcher[] {
  const none: Watcher = { name: 'bare', wrap: (argv) => argv };
  const glasshouse = (name: string, ...options: readonly string[]): Watcher => ({
    name,
    wrap: (argv) => [
      process.execPath,
      main,
      'run',
      ...glasshouseOptions(directory),
      ...options,
      '--',
      ...argv,
    ],
  });
  const strace = (name: string, options: readonly string[]): Watcher => ({
    name,
    wrap: (argv) => ['strace', '-f', ...options, '-o', '/dev/null', ...argv],
  });
  const script = existsSync('/sys/kernel/tracing/events') ? BPFTRACE : BPFTRACE_RAW;
  const bpftrace: Watcher = {
    name: 'bpftrace',
    wrap: (argv) => ['bpftrace', '-e', script, '-c', argv.map(quoted).join(' ')],
  };
  return [
    none,
    glasshouse('glasshouse run'),
    glasshouse('... --profile required', '--profile', 'required'),
    ...(isThere('strace') ? [strace('strace -f', []), strace(`strace -f ${TRACE}`, TRACE.split(' '))] : []),
    ...(isThere('bpftrace') ? [bpftrace] : []),
  ];
}

function glasshouseOptions(directory: string): readonly string[] {
  return ['--data-dir', path.join(directory, 'data'), '--receipt', path.join(directory, 'receipt.json')];
}

/** bpftrace splits at spaces and knows no quotes: what needs them goes through a file. */
function quoted(argument: string): string {
  return /\s/.test(argument) ? `'${argument}'` : argument;
}

function measure(directory: string, main: string, runs: number): void {
  for (const load of loads(directory)) {
    const ways = watchers(directory, main);
    const samples = ways.map(({ name }): Sample & { values: number[] } => ({ name, values: [] }));
    const drops = new Set<string>();
    for (let round = 0; round < runs; round += 1) {
      ways.forEach(({ name, wrap }, index) => {
        // strace takes minutes for the storm; three times say enough.
        if (name.startsWith('strace') && load.name === 'storm of calls' && round >= 1) return;
        run(['/bin/sh', '-c', load.prepare], directory);
        samples[index]?.values.push(timedRun(scriptFor(directory, name, load, wrap), directory));
        if (name.includes('--profile')) drops.add(dropsIn(directory));
      });
    }
    const [bare] = samples;
    if (bare === undefined) return;
    printSamples(load.name, samples, bare);
    console.log(`dropped: ${[...drops].join('; ')}\n`);
  }
}

/** A load whose argv has spaces is a script for bpftrace. */
function scriptFor(directory: string, watcher: string, { argv }: Load, wrap: Watcher['wrap']): Argv {
  if (watcher !== 'bpftrace' || !argv.some((argument) => /\s/.test(argument))) return wrap(argv);
  const script = path.join(directory, 'load.sh');
  writeFileSync(script, argv[2] ?? '');
  return wrap(['/bin/sh', script]);
}

function dropsIn(directory: string): string {
  const { observation } = predicateOf(path.join(directory, 'receipt.json'));
  return observation.level === 'none' ? observation.reason : JSON.stringify(observation.dropped);
}

/** An observed `true` beside one that is not: attaching, detaching and the larger receipt. */
function measureStart(directory: string, main: string, runs: number): void {
  const plain = [process.execPath, main, 'run', ...glasshouseOptions(directory), '--', 'true'] as const;
  const observed = [
    process.execPath,
    main,
    'run',
    ...glasshouseOptions(directory),
    '--profile',
    'required',
    '--',
    'true',
  ] as const;
  const samples = [
    { name: 'glasshouse run -- true', values: [] as number[] },
    { name: '... --profile required', values: [] as number[] },
  ];
  for (let round = 0; round < 2 * runs; round += 1) {
    samples[0]?.values.push(timedRun(plain, directory));
    samples[1]?.values.push(timedRun(observed, directory));
  }
  const [bare] = samples;
  if (bare === undefined) return;
  printSamples('true', samples, bare);
}

/** What others pay: the storm, unobserved, while something else is observed. */
function measureOthers(directory: string, main: string, runs: number): void {
  const storm = path.join(directory, 'storm');
  const samples = [
    { name: 'nobody is observed', values: [] as number[] },
    { name: 'somebody else is', values: [] as number[] },
  ];
  for (let round = 0; round < runs; round += 1) {
    samples[0]?.values.push(timedRun([storm], directory));
    samples[1]?.values.push(besideObserved(directory, main, storm));
  }
  const [bare] = samples;
  if (bare !== undefined) printSamples('storm of an unrelated process', samples, bare);
}

function besideObserved(directory: string, main: string, storm: string): number {
  // The observed command waits until its stdin ends, which is when the storm is over.
  const script = `mkfifo gate; "$1" "$2" run ${glasshouseOptions(directory).join(' ')} --profile required -- sh -c 'echo > up; read -r _ < gate' & while [ ! -e up ]; do sleep 0.05; done; s=$(date +%s%N); "$3"; e=$(date +%s%N); echo > gate; wait; rm gate up; echo $((e - s))`;
  const { stdout } = spawnSync('/bin/sh', ['-c', script, 'sh', process.execPath, main, storm], {
    cwd: directory,
    encoding: 'utf8',
  });
  return Number(stdout.trim().split('\n').at(-1)) / 1e6;
}

function timedRun([program, ...args]: readonly [string, ...string[]], cwd: string): number {
  const begunAt = performance.now();
  const { error } = spawnSync(program, args, { cwd, stdio: 'ignore' });
  if (error !== undefined) throw error;
  return performance.now() - begunAt;
}

function run(argv: Argv, cwd: string): void {
  const { status, stderr } = spawnSync(argv[0], argv.slice(1), { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${argv.join(' ')}: ${stderr}`);
}

function isThere(program: string): boolean {
  return ['/usr/bin', '/usr/sbin'].some((directory) => existsSync(path.join(directory, program)));
}
