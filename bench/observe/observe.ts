import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { printAgreement } from './agreement.js';
import { measureBystander } from './bystander.js';
import { countLeftovers } from './leftovers.js';
import { LOADS, makeLoad } from './loads.js';
import { measureMemory } from './memory.js';
import { measureOverhead } from './overhead.js';
import { measureStart } from './start.js';
import { type Bench } from './watchers.js';

/** Fewer say nothing about a median. */
const LEAST_ROUNDS = 5;

export interface ObserveOptions {
  /** What users start. */
  readonly main: string;
  readonly rounds: number;
  /** Observed runs in a row, of which nothing may stay loaded. */
  readonly runsInARow: number;
  /** Names of parts; none: all of them. */
  readonly only: readonly string[];
}

/** Compares receipts with what strace saw, and measures what observation costs beside other tracers. */
export async function benchObserve(options: ObserveOptions): Promise<void> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'glasshouse-bench-'));
  try {
    const parts = partsOf(options, directory);
    const names = options.only.length === 0 ? [...parts.keys()] : options.only;
    for (const name of names) {
      const part = parts.get(name);
      if (part === undefined)
        throw new Error(`observe has no part ${name}; it has: ${[...parts.keys()].join(', ')}`);
      await part();
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function partsOf(
  { main, rounds, runsInARow }: ObserveOptions,
  directory: string,
): ReadonlyMap<string, () => void | Promise<void>> {
  const bench: Bench = { main, directory, rounds: Math.max(LEAST_ROUNDS, rounds) };
  return new Map<string, () => void | Promise<void>>([
    ['agreement', printAgreement],
    ['start', () => measureStart(bench)],
    ...LOADS.map((name) => [name, overheadOf(bench, name)] as const),
    ['bystander', () => measureBystander(bench)],
    ['memory', () => measureMemory(bench)],
    ['leftovers', () => countLeftovers(bench, runsInARow)],
  ]);
}

function overheadOf(bench: Bench, name: (typeof LOADS)[number]): () => void {
  return () => {
    measureOverhead(bench, makeLoad(name, bench.directory));
  };
}
