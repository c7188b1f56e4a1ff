import { readFile } from 'node:fs/promises';

import { printGoal, printSamples, type Sample } from './measure.js';
import { type BenchServer } from './server.js';

/** Memory of one waiting clone, in MiB. */
export interface CloneMemory {
  /** Pages of the guest's memory that it shares with all other clones. */
  readonly guestShared: number;
  /** Pages of it that this clone has written. */
  readonly guestPrivate: number;
  /** What the monitor needs for itself: translated code, heap, stacks. */
  readonly monitorPrivate: number;
}

/** Of every virtual machine monitor that runs now, from /proc/pid/smaps (proc(5)). */
export async function cloneMemory(server: BenchServer): Promise<CloneMemory[]> {
  const { clones } = await server.monitors();
  return Promise.all(clones.map(async (pid) => parse(await readFile(`/proc/${pid}/smaps`, 'utf8'))));
}

export function printMemory(clones: readonly CloneMemory[]): void {
  if (clones.length === 0) return;
  const sample = (name: string, value: (clone: CloneMemory) => number): Sample => ({
    name,
    values: clones.map(value),
  });
  const all = sample('private, together', (clone) => clone.guestPrivate + clone.monitorPrivate);
  const parts = [
    sample("guest's, private", (clone) => clone.guestPrivate),
    sample("monitor's, private", (clone) => clone.monitorPrivate),
    sample("guest's, shared by all", (clone) => clone.guestShared),
  ];
  printSamples(`memory of ${clones.length} waiting clones`, [...parts, all], all, 'MiB');
  printGoal('private memory of a waiting clone', Math.max(...all.values), 60, 'MiB');
}

function parse(smaps: string): CloneMemory {
  let isGuest = false;
  const sums = { guestShared: 0, guestPrivate: 0, monitorPrivate: 0 };
  for (const line of smaps.split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isGuest = line.includes('memfd:glasshouse-guest');
    const match = /^(Shared_Clean|Shared_Dirty|Private_Clean|Private_Dirty):\s+(\d+) kB/.exec(line);
    if (match === null) continue;
    const mib = Number(match[2]) / 1024;
    const [kind, state] = (match[1] ?? '').split('_');
    // What was only read is the file's, whoever else has it mapped; a page that was written is a copy.
    if (isGuest && (kind === 'Shared' || state === 'Clean')) sums.guestShared += mib;
    else if (isGuest) sums.guestPrivate += mib;
    else if (kind === 'Private' && state === 'Dirty') sums.monitorPrivate += mib;
  }
  return sums;
}
