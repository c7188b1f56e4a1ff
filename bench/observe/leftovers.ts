import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { printGoal } from '../measure.js';
import { isThere, run, timedRun } from './processes.js';
import { type Bench, glasshouse } from './watchers.js';

const KINDS = ['prog', 'map', 'link'] as const;
/** The kernel frees in its own time. */
const SETTLE_MS = 10_000;
const LOOK_EVERY_MS = 250;

/** Many observed runs in a row must leave no program, map or link loaded. */
export async function countLeftovers(bench: Bench, runs: number): Promise<void> {
  if (!isThere('bpftool')) {
    console.log('programs, maps and links left over: bpftool is not installed\n');
    return;
  }
  const before = loaded();
  const { wrap } = glasshouse(bench, '', 'observed', ['--profile', 'required']);
  for (let index = 0; index < runs; index += 1) timedRun(wrap(['/bin/true']), bench.directory);
  const giveUpAt = performance.now() + SETTLE_MS;
  let left = orphans(before);
  while (left.length > 0 && performance.now() < giveUpAt) {
    await delay(LOOK_EVERY_MS);
    left = orphans(before);
  }
  printGoal(`programs, maps and links left after ${runs} observed runs`, left.length, 0, 'left');
  console.log(`${left.join(', ')}\n`);
  if (left.length > 0) process.exitCode = 1;
}

/** What was not there before and is nobody's: others may be observed meanwhile. */
function orphans(before: ReadonlySet<string>): string[] {
  const held = heldByProcesses();
  return [...loaded()].filter((object) => !before.has(object) && !held.has(object));
}

/** `prog 12`, `map 3`, `link 4`. */
function loaded(): Set<string> {
  return new Set(
    KINDS.flatMap((kind) => {
      const objects = JSON.parse(run(['bpftool', '-j', kind, 'show'], '/')) as { id: number }[];
      return objects.map(({ id }) => `${kind} ${id}`);
    }),
  );
}

function heldByProcesses(): Set<string> {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return new Set(pids.flatMap((pid) => filesIn(`/proc/${pid}/fdinfo`).flatMap(objectsIn)));
}

/** proc_pid_fdinfo(5). */
function objectsIn(text: string): string[] {
  return [...text.matchAll(/^(prog|map|link)_id:\s*(\d+)$/gm)].map(
    ([, kind, id]) => `${kind ?? ''} ${id ?? ''}`,
  );
}

/** Processes and descriptors go away while one looks. */
function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory).flatMap((name) => {
      try {
        return [readFileSync(`${directory}/${name}`, 'utf8')];
      } catch {
        return []; // It has just been closed.
      }
    });
  } catch {
    return []; // It has just ended.
  }
}
