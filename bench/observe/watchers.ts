import path from 'node:path';
import { writeFileSync } from 'node:fs';

import { predicateOf } from '../../test/cli/command-line.js';
import { type Predicate } from '../../src/receipts/receipt.js';
import { type Argv, isThere } from './processes.js';

/** What all parts of the benchmark share. */
export interface Bench {
  /** What users start. */
  readonly main: string;
  /** A scratch directory, empty at first. */
  readonly directory: string;
  readonly rounds: number;
}

/** A way to watch a command, or none. */
export interface Watcher {
  readonly name: string;
  readonly kind: 'bare' | 'unobserved' | 'observed' | 'strace' | 'bpftrace';
  readonly wrap: (argv: Argv) => Argv;
}

const FILTER = '--seccomp-bpf -e trace=%file,%process,%network';
/** Counts what ours looks at, and looks at nothing itself: the least that it could cost. */
const BPFTRACE = `
tracepoint:syscalls:sys_exit_open, tracepoint:syscalls:sys_exit_openat { @opens[pid] = count(); }
tracepoint:sched:sched_process_fork { @forks = count(); }
tracepoint:sched:sched_process_exec { @execs[pid] = count(); }
tracepoint:sched:sched_process_exit { @exits = count(); }
tracepoint:syscalls:sys_enter_openat { @files[str(args->filename)] = count(); }
tracepoint:raw_syscalls:sys_exit { @calls[args->id] = count(); }
`;

/** Bare, not observed, observed, and what else there is on this machine. */
export function watchersOf(bench: Bench): readonly Watcher[] {
  const strace = (name: string, options: readonly string[]): Watcher => ({
    name,
    kind: 'strace',
    wrap: (argv) => ['strace', '-f', ...options, '-o', '/dev/null', ...argv],
  });
  return [
    { name: 'bare', kind: 'bare', wrap: (argv) => argv },
    glasshouse(bench, 'glasshouse run', 'unobserved', []),
    glasshouse(bench, 'glasshouse run --profile', 'observed', ['--profile', 'required']),
    ...(isThere('strace') ? [strace('strace -f', []), strace(`strace -f ${FILTER}`, FILTER.split(' '))] : []),
    ...(isThere('bpftrace') ? [bpftrace(bench)] : []),
  ];
}

export function glasshouse(
  { main, directory }: Bench,
  name: string,
  kind: Watcher['kind'],
  options: readonly string[],
  nodeOptions: readonly string[] = [],
): Watcher {
  const own = ['--data-dir', path.join(directory, 'data'), '--receipt', receiptFile(directory)];
  const start = [...nodeOptions, main, 'run', ...own, ...options, '--'];
  return { name, kind, wrap: (argv) => [process.execPath, ...start, ...argv] };
}

/** What the last run under Glasshouse was. */
export function lastRun({ directory }: Bench): Predicate {
  return predicateOf(receiptFile(directory));
}

function receiptFile(directory: string): string {
  return path.join(directory, 'receipt.json');
}

/**
 * Its trace points are in tracefs, which need not be mounted: it gets one in a mount namespace of its own. It splits
 * commands at spaces and knows no quotes, so the command is a script.
 */
function bpftrace({ directory }: Bench): Watcher {
  const program = path.join(directory, 'watch.bt');
  const command = path.join(directory, 'command.sh');
  writeFileSync(program, BPFTRACE);
  const script = `mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing; exec bpftrace -o /dev/null -c '/bin/sh ${command}' ${program}`;
  return {
    name: 'bpftrace',
    kind: 'bpftrace',
    wrap: (argv) => {
      writeFileSync(command, `exec ${argv.map(quoted).join(' ')}\n`);
      return ['unshare', '--mount', '/bin/sh', '-ec', script];
    },
  };
}

function quoted(argument: string): string {
  return `'${argument.replaceAll("'", `'\\''`)}'`;
}
