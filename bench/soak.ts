import { median, printGoal, printSamples, timed } from './measure.js';
import { reportLeftovers } from './leftovers.js';
import { BenchServer } from './server.js';

const PARTS = 10;
/** The kernel counts in units of 1,024 bytes, the goal in a million. */
const KB_PER_MB = 1e6 / 1024;

/** Runs in a row: what the server holds must not grow with their number. */
export async function benchSoak(main: string, runs: number): Promise<void> {
  await using server = await BenchServer.start(main);
  const part = Math.max(1, Math.floor(runs / PARTS));
  const values: number[] = [];
  const run = async (): Promise<void> => {
    const elapsed = await timed(async () => {
      const answer = await server.run({ code: 'print(2+2)' });
      if (answer['stdout'] !== '4\n') throw new Error(`wrong answer: ${JSON.stringify(answer)}`);
    });
    values.push(elapsed);
  };
  // A part of them beforehand: code is compiled and caches are filled by then.
  for (let index = 0; index < part; index += 1) await run();
  values.length = 0;
  await server.poolIsFull();
  const before = await server.holdingsWithoutGarbage();
  // Medians: garbage comes and goes, and neither may hide a leak nor look like one.
  const medians: number[] = [];
  let resident: number[] = [];
  for (let index = 1; index <= runs; index += 1) {
    await run();
    resident.push((await server.holdings()).residentKb / KB_PER_MB);
    if (resident.length < part) continue;
    medians.push(median(resident));
    console.log(`resident memory: ${median(resident).toFixed(1)} MB in the median up to run ${index}`);
    resident = [];
  }
  const sample = { name: `${runs} runs in a row`, values };
  printSamples('soak', [sample], sample);
  await reportLeftovers(server, before);
  const after = await server.holdingsWithoutGarbage();
  const growth = (after.residentKb - before.residentKb) / KB_PER_MB;
  const withGarbage = (medians.at(-1) ?? 0) - (medians[0] ?? 0);
  console.log(`with garbage that is not collected yet: ${withGarbage.toFixed(1)} MB more`);
  printGoal(`resident memory of the server after ${runs} runs`, growth, 10, 'MB more');
  if (growth > 10) process.exitCode = 1;
  console.log('');
}
