import { closeSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs';

import { systemErrorCode } from './errors.js';

/** One line of the kernel's process table, from `/proc/PID/stat` (proc_pid_stat(5)). */
export interface ProcessEntry {
  readonly pid: number;
  readonly state: string;
  readonly parentPid: number;
  readonly processGroupId: number;
  readonly sessionId: number;
  /** Device number of the controlling terminal; 0 when there is none. */
  readonly terminalDevice: number;
  readonly threads: number;
  /** Clock ticks between boot and the start of the process; with the pid it names one process for ever. */
  readonly startTicks: number;
}

/** Longer than any line of `/proc/PID/stat`: 52 numbers and a name of at most 64 bytes. */
const statBuffer = Buffer.allocUnsafeSlow(4096);

/**
 * The pids of every process that this user may see, the youngest first: what forks to get away is among those, and
 * lives as long as it takes to fork again.
 */
export function listPids(): number[] {
  const pids = readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid));
  const youngest = lastPid() ?? 0;
  const age = (pid: number): number => (pid <= youngest ? youngest - pid : Number.MAX_SAFE_INTEGER - pid);
  return pids.sort((one, other) => age(one) - age(other));
}

/**
 * The pid that the kernel gave out last, to a process or a thread (proc_loadavg(5)): while it stays the same, nothing
 * is born. Null when the kernel does not say.
 */
export function lastPid(): number | null {
  const last = Number(readFileSync('/proc/loadavg', 'latin1').trim().split(' ').at(-1));
  return Number.isInteger(last) && last > 0 ? last : null;
}

/** Null when there is no such process. */
export function readProcess(pid: number | 'self'): ProcessEntry | null {
  const line = readStatLine(pid);
  if (line === null) return null;
  // The name in parentheses may hold anything, also parentheses and spaces: the numbers follow the last one.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const number = (position: number): number => Number(fields[position - 3]);
  return {
    pid: Number.parseInt(line, 10),
    state: fields[0] ?? '',
    parentPid: number(4),
    processGroupId: number(5),
    sessionId: number(6),
    terminalDevice: number(7),
    threads: number(20),
    startTicks: number(22),
  };
}

/**
 * True when nothing of the process runs any more. A process whose first thread has ended shows as a zombie while its
 * other threads run on.
 */
export function hasEnded(entry: ProcessEntry): boolean {
  return (entry.state === 'Z' || entry.state === 'X') && entry.threads <= 1;
}

/**
 * Whether the process was executed with `assignment` (`NAME=value`) in its environment. False when it has ended or is
 * not ours to read: the kernel shows an environment only to who may also signal the process.
 */
export function hasEnvironmentEntry(entry: ProcessEntry, assignment: string): boolean {
  if (entry.state !== 'Z') return environmentHas(`/proc/${entry.pid}/environ`, assignment);
  return threadIds(entry.pid).some((thread) =>
    environmentHas(`/proc/${entry.pid}/task/${thread}/environ`, assignment),
  );
}

function threadIds(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch (error) {
    return absent(error, []);
  }
}

function environmentHas(path: string, assignment: string): boolean {
  let environment: Buffer;
  try {
    environment = readFileSync(path);
  } catch (error) {
    return absent(error, false);
  }
  const wanted = Buffer.from(`${assignment}\0`);
  for (let at = environment.indexOf(wanted); at !== -1; at = environment.indexOf(wanted, at + 1)) {
    if (at === 0 || environment[at - 1] === 0) return true;
  }
  return false;
}

function readStatLine(pid: number | 'self'): string | null {
  let descriptor: number;
  try {
    descriptor = openSync(`/proc/${pid}/stat`, 'r');
  } catch (error) {
    return absent(error, null);
  }
  try {
    return statBuffer.toString('latin1', 0, readSync(descriptor, statBuffer));
  } catch (error) {
    return absent(error, null);
  } finally {
    closeSync(descriptor);
  }
}

/** ENOENT and ESRCH: it ended meanwhile. EACCES and EPERM: it is somebody else's. Anything else is our own trouble. */
function absent<T>(error: unknown, answer: T): T {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(systemErrorCode(error) ?? '')) return answer;
  throw error;
}
