import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { COLLECTS_GARBAGE } from '../garbage-on-signal.js';
import { median, printGoal } from '../measure.js';
import { ObservedCommand } from './observed-command.js';
import { run } from './processes.js';
import { type Bench, lastRun } from './watchers.js';

const EVENTS = 2_000_000;
/** Between asking for the garbage to be collected and looking: more than that takes. */
const COLLECT_MS = 250;
const QUARTERS = 4;
/** The observer keeps so much for a Glasshouse that does not get its turn: docs/observer-link.md, "observer". */
const BACKLOG_MB = (32 * 1024 * 1024) / 1e6;
const MOST_GROWTH_MB = { glasshouse: 10, observer: 10 + BACKLOG_MB, kernel: 10 } as const;
const KB_PER_MB = 1e6 / 1024;

/** Every call is an event of its own, with a name that was not seen before. Now and then it lets others run. */
const SOURCE = `
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
  char name[32];
  puts("runs"); fflush(stdout);
  for (int i = 0; i < ${EVENTS}; i++) {
    snprintf(name, sizeof name, "missing-%d", i);
    open(name, O_RDONLY);
    if (i % 2000 == 0) usleep(10000);
  }
}
`;

interface Holding {
  readonly glasshouse: number;
  readonly observer: number;
  /** Programs and maps, as the kernel accounts for them. */
  readonly kernel: number;
}

/** Millions of events, and what Glasshouse, the observer and the kernel hold for them. */
export async function measureMemory(bench: Bench): Promise<void> {
  const program = path.join(bench.directory, 'misses');
  writeFileSync(`${program}.c`, SOURCE);
  run(['cc', '-O2', '-o', program, `${program}.c`], bench.directory);
  const holdings: Holding[] = [];
  {
    await using command = await ObservedCommand.start(bench, [program], COLLECTS_GARBAGE);
    while (!command.hasEnded) {
      command.collectGarbage();
      await delay(COLLECT_MS);
      const holding = holdingOf(command);
      if (holding !== null) holdings.push(holding);
    }
  }
  report(bench, holdings);
}

function report(bench: Bench, holdings: readonly Holding[]): void {
  const size = Math.ceil(holdings.length / QUARTERS);
  const quarters = Array.from({ length: QUARTERS }, (_, n) => holdings.slice(n * size, (n + 1) * size));
  const medians = (of: keyof Holding): number[] =>
    quarters.map((quarter) => median(quarter.map((one) => one[of] / KB_PER_MB)));
  const { observation } = lastRun(bench);
  if (observation.level === 'none') throw new Error(observation.reason);
  console.log(`memory: ${observation.events} events; dropped: ${JSON.stringify(observation.dropped)}`);
  const lost = Object.values(observation.dropped).reduce((sum, count) => sum + count, 0);
  printGoal('events lost at default sizes', lost, 0, 'lost');
  if (lost > 0) process.exitCode = 1;
  for (const of of ['glasshouse', 'observer', 'kernel'] as const) {
    const values = medians(of);
    console.log(`  ${of}, by quarters of the run: ${values.map((one) => one.toFixed(1)).join(', ')} MB`);
    // In the first half the receipt fills up to what it has room for.
    const growth = (values.at(-1) ?? Number.NaN) - (values.at(-2) ?? Number.NaN);
    printGoal(`${of} grows from the third quarter to the last`, growth, MOST_GROWTH_MB[of], 'MB');
    if (!(growth <= MOST_GROWTH_MB[of])) process.exitCode = 1;
  }
  console.log('');
}

function holdingOf({ glasshousePid, observerPid }: ObservedCommand): Holding | null {
  try {
    return {
      glasshouse: residentKb(glasshousePid),
      observer: residentKb(observerPid),
      kernel: lockedKb(observerPid),
    };
  } catch {
    return null; // One of them has just ended.
  }
}

function residentKb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** proc_pid_fdinfo(5). */
function lockedKb(pid: number): number {
  const directory = `/proc/${pid}/fdinfo`;
  const bytes = readdirSync(directory).map((descriptor) =>
    Number(/^memlock:\s+(\d+)$/m.exec(readFileSync(path.join(directory, descriptor), 'utf8'))?.[1] ?? 0),
  );
  return bytes.reduce((sum, one) => sum + one, 0) / 1024;
}
