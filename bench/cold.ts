import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { median, printGoal, printSamples, type Sample, timed } from './measure.js';
import { BenchServer } from './server.js';

const PROGRAM = { code: 'print(2+2)', fresh: true };
const WATCH_INTERVAL_MS = 20;

/** A cold `POST /run` from end to end, its stages, and the same program as plain python3 beside it. */
export async function benchCold(main: string, runs: number): Promise<void> {
  await using server = await BenchServer.start(main, ['--snapshots', 'off']);
  const total: number[] = [];
  const plain: number[] = [];
  const stages = new Map<string, number[]>();
  let peakKb = 0;
  const watch = setInterval(() => {
    void server.monitorPeaksKb().then((peaks) => {
      peakKb = Math.max(peakKb, ...peaks);
    });
  }, WATCH_INTERVAL_MS);
  try {
    for (let run = 0; run < runs; run += 1) {
      let answer: Record<string, unknown> = {};
      const elapsed = await timed(async () => {
        answer = await server.run(PROGRAM);
      });
      if (answer['stdout'] !== '4\n') throw new Error(`wrong answer: ${JSON.stringify(answer)}`);
      total.push(elapsed);
      recordStages(stages, elapsed, answer, await server.predicate(String(answer['receipt_id'])));
      plain.push(await timed(runPlainPython));
    }
  } finally {
    clearInterval(watch);
  }
  const whole: Sample = { name: 'POST /run', values: total };
  const python: Sample = { name: 'python3 -c', values: plain };
  printSamples('cold run', [whole, python], python);
  const parts: Sample[] = [...stages].map(([name, values]) => ({ name, values }));
  printSamples('stage', [...parts, whole], whole);
  console.log(`peak resident memory of the virtual machine monitor: ${(peakKb / 1024).toFixed(0)} MiB`);
  printGoal('cold print(2+2), median', median(total), 4000, 'ms');
  printGoal('memory of the monitor', peakKb / 1024, 250, 'MiB');
  console.log('');
}

/** Stages as the receipt names them; what is left over is HTTP and reading the result back. */
function recordStages(
  stages: Map<string, number[]>,
  elapsed: number,
  answer: Record<string, unknown>,
  predicate: Record<string, unknown>,
): void {
  const timings = answer['timings'] as Record<string, number>;
  const boot = (predicate['timing'] as { boot_stages: Record<string, number> }).boot_stages;
  const named: Record<string, number> = {
    'workspace image': (boot['workspace_us'] ?? 0) / 1000,
    'VMM start': (boot['vmm_us'] ?? 0) / 1000,
    'kernel to init': (boot['kernel_us'] ?? 0) / 1000,
    request: (boot['request_us'] ?? 0) / 1000,
    'guest to exec': (boot['guest_us'] ?? 0) / 1000,
    interpreter: timings['run_ms'] ?? 0,
    receipt: timings['receipt_ms'] ?? 0,
  };
  named['result and HTTP'] = elapsed - Object.values(named).reduce((sum, value) => sum + value, 0);
  for (const [name, value] of Object.entries(named)) stages.set(name, [...(stages.get(name) ?? []), value]);
}

/** Debian's python3, the same as in the guest; version managers put slow scripts of that name in front of it. */
export async function runPlainPython(): Promise<void> {
  const child = spawn('python3', ['-c', PROGRAM.code], { stdio: 'ignore', env: { PATH: '/usr/bin:/bin' } });
  await once(child, 'exit');
}
