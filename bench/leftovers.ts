import { setTimeout as delay } from 'node:timers/promises';

import { type BenchServer, type Holdings } from './server.js';

/** Longer than the server keeps a connection that nobody uses. */
const SETTLE_MS = 30_000;
const LOOK_EVERY_MS = 250;
const COUNTED = ['descriptors', 'processes', 'files'] as const;

/**
 * Waits until the server holds no more than `before`, and prints what it still holds beyond that when it never does;
 * then the benchmark has failed.
 */
export async function reportLeftovers(server: BenchServer, before: Holdings): Promise<void> {
  const giveUpAt = performance.now() + SETTLE_MS;
  let now = await server.holdings();
  while (COUNTED.some((what) => now[what] > before[what]) && performance.now() < giveUpAt) {
    await delay(LOOK_EVERY_MS);
    now = await server.holdings();
  }
  for (const what of COUNTED) {
    const left = now[what] - before[what];
    console.log(`goal: no ${what} left over: ${before[what]} before, ${now[what]} after`);
    if (left > 0) process.exitCode = 1;
  }
}
