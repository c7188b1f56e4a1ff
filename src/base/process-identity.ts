import { readFileSync } from 'node:fs';

import { systemErrorCode } from './errors.js';

/**
 * Names one process for good: the kernel reuses a pid, but never together with the same start time in the same
 * boot. Compare only within one pid namespace.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks between boot and the start of the process: field 22 of `/proc/<pid>/stat` (proc(5)). */
  readonly startTicks: number;
  /** `/proc/sys/kernel/random/boot_id`: a UUID that changes with every boot. */
  readonly bootId: string;
}

interface ProcessStat {
  /** One letter, for example `R`, `S`, `Z`. */
  readonly state: string;
  readonly startTicks: number;
}

/** The identity of the calling process, read once: it does not change. */
export function thisProcess(): ProcessIdentity {
  own ??= readOwnIdentity();
  return own;
}

let own: ProcessIdentity | null = null;

function readOwnIdentity(): ProcessIdentity {
  const stat = parseProcessStat(readFileSync('/proc/self/stat', 'latin1'));
  return { pid: process.pid, startTicks: stat.startTicks, bootId: readBootId() };
}

/** Whether exactly this process still runs. A zombie has ended: nothing of it will run again. */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.bootId !== readBootId()) return false;
  const stat = readProcessStat(identity.pid);
  return stat?.startTicks === identity.startTicks && stat.state !== 'Z' && stat.state !== 'X';
}

/**
 * Reads one line of `/proc/<pid>/stat`. The command name (field 2) is in parentheses and may itself contain spaces
 * and parentheses, so fields are counted from the last `)`.
 */
export function parseProcessStat(line: string): ProcessStat {
  const [state, ...rest] = line.slice(line.lastIndexOf(')') + 2).split(' ');
  // `state` is field 3, so field 22 is the 19th after it.
  const startTicks = Number(rest[18]);
  if (state?.length !== 1 || !Number.isSafeInteger(startTicks)) {
    throw new Error('/proc/<pid>/stat does not have the documented fields');
  }
  return { state, startTicks };
}

function readProcessStat(pid: number): ProcessStat | null {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch (thrown) {
    const code = systemErrorCode(thrown);
    // ENOENT: no such process. ESRCH: it ended between open and read.
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw thrown;
  }
}

function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}
