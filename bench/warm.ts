import { setTimeout as delay } from 'node:timers/promises';

import { runPlainPython } from './cold.js';
import { cloneMemory, printMemory } from './clone-memory.js';
import { median, printGoal, printSamples, quantile, type Sample, timed } from './measure.js';
import { BenchServer } from './server.js';

const PROGRAM = { code: 'print(2+2)' };
const INTERVAL_MS = 1_000;
const COLD_RUNS = 5;
const RESTORES = 30;
/** As many requests under way as this machine is expected to have processors. */
const CLIENTS = 2;

/** Clones beside cold boots: one request a second, without a pool and without a template, and as fast as it goes. */
export async function benchWarm(main: string, seconds: number): Promise<void> {
  const cold = await measureCold(main);
  const pooled = await measurePooled(main, seconds);
  const restored = await measureRestored(main, 'without a pool', []);
  const alone = await measureRestored(main, 'by itself', ['--templates', 'off']);
  const python: Sample = { name: 'python3 -c', values: await repeat(COLD_RUNS * 2, runPlainPython) };
  printSamples('POST /run', [pooled.total, restored.total, alone.total, cold, python], pooled.total);
  printSamples('stages, pooled', [...pooled.stages, pooled.total], pooled.total);
  printSamples('stages, without a pool', [...restored.stages, restored.total], restored.total);
  printSamples('stages, from the snapshot by itself', [...alone.stages, alone.total], alone.total);
  const p50 = median(pooled.total.values);
  printGoal('pooled, p50', p50, 35, 'ms');
  printGoal('pooled, p99', quantile(pooled.total.values, 0.99), 120, 'ms');
  printGoal('pooled against cold', p50 / median(cold.values), 1 / 80, 'of the time');
  console.log(`pooled is ${(median(cold.values) / p50).toFixed(0)} times faster than cold`);
  printGoal('restored without a pool, p50', median(restored.total.values), 220, 'ms');
  await benchThroughput(main);
}

interface Measured {
  readonly total: Sample;
  readonly stages: readonly Sample[];
}

async function measureCold(main: string): Promise<Sample> {
  await using server = await BenchServer.start(main, ['--pool-size', '0']);
  return { name: 'cold', values: await repeat(COLD_RUNS, () => expectFour(server, { fresh: true })) };
}

async function measurePooled(main: string, seconds: number): Promise<Measured> {
  await using server = await BenchServer.start(main);
  await server.poolIsFull();
  printMemory(await cloneMemory(server));
  await expectFour(server, {});
  const recorder = new StageRecorder(server);
  const begunAt = performance.now();
  for (let index = 0; index < seconds; index += 1) {
    await delay(Math.max(0, begunAt + index * INTERVAL_MS - performance.now()));
    await recorder.run();
  }
  return recorder.measured('pooled');
}

/** Clones that nobody has made before they are asked for. */
async function measureRestored(main: string, name: string, flags: readonly string[]): Promise<Measured> {
  await using server = await BenchServer.start(main, ['--pool-size', '0', ...flags]);
  if (flags.length === 0) await server.gaugeReaches('glasshouse_pool_templates', 1);
  await expectFour(server, {});
  const recorder = new StageRecorder(server);
  for (let index = 0; index < RESTORES; index += 1) await recorder.run();
  return recorder.measured(name);
}

/** Every run in a clone of its own, with all processors busy, beside cold boots under the same load. */
async function benchThroughput(main: string): Promise<void> {
  await using server = await BenchServer.start(main);
  await expectFour(server, {});
  const warmPerSecond = await runsPerSecond(server, 60, {});
  const coldPerSecond = await runsPerSecond(server, 6, { fresh: true });
  console.log(`closed loop, ${CLIENTS} clients: ${warmPerSecond.toFixed(2)} clones a second`);
  console.log(`closed loop, ${CLIENTS} clients: ${coldPerSecond.toFixed(2)} cold boots a second`);
  printGoal('seconds for five clones', 5 / warmPerSecond, 1, 's');
  printGoal('cold boots for each clone', coldPerSecond / warmPerSecond, 1 / 12, 'boots');
  console.log(`clones come ${(warmPerSecond / coldPerSecond).toFixed(1)} times as fast as cold boots`);
  console.log('');
}

async function runsPerSecond(server: BenchServer, runs: number, fields: object): Promise<number> {
  let left = runs;
  const client = async (): Promise<void> => {
    while (left-- > 0) await expectFour(server, fields);
  };
  const elapsed = await timed(() => Promise.all(Array.from({ length: CLIENTS }, client)));
  return (runs / elapsed) * 1000;
}

async function repeat(count: number, action: () => Promise<unknown>): Promise<number[]> {
  const values: number[] = [];
  for (let index = 0; index < count; index += 1) values.push(await timed(action));
  return values;
}

async function expectFour(server: BenchServer, fields: object): Promise<Record<string, unknown>> {
  const answer = await server.run({ ...PROGRAM, ...fields });
  if (answer['stdout'] !== '4\n') throw new Error(`wrong answer: ${JSON.stringify(answer)}`);
  return answer;
}

/** Runs and remembers where the time went, by the receipt. */
class StageRecorder {
  readonly #server: BenchServer;
  readonly #total: number[] = [];
  readonly #stages = new Map<string, number[]>();

  constructor(server: BenchServer) {
    this.#server = server;
  }

  async run(): Promise<void> {
    let answer: Record<string, unknown> = {};
    const elapsed = await timed(async () => {
      answer = await expectFour(this.#server, {});
    });
    this.#total.push(elapsed);
    const predicate = await this.#server.predicate(String(answer['receipt_id']));
    const timings = answer['timings'] as Record<string, number>;
    const boot = (predicate['timing'] as { boot_stages: Record<string, number> }).boot_stages;
    const named: Record<string, number> = {
      clone: (boot['clone_us'] ?? 0) / 1000,
      request: (boot['request_us'] ?? 0) / 1000,
      'guest to release': (boot['guest_us'] ?? 0) / 1000,
      interpreter: timings['run_ms'] ?? 0,
      'files back': timings['collect_ms'] ?? 0,
      receipt: timings['receipt_ms'] ?? 0,
    };
    named['HTTP, store'] = elapsed - Object.values(named).reduce((sum, value) => sum + value, 0);
    for (const [name, value] of Object.entries(named))
      this.#stages.set(name, [...(this.#stages.get(name) ?? []), value]);
  }

  measured(name: string): Measured {
    return {
      total: { name, values: this.#total },
      stages: [...this.#stages].map(([stage, values]) => ({ name: stage, values })),
    };
  }
}
