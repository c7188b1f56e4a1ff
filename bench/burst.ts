import { printSamples, type Sample, timed } from './measure.js';
import { reportLeftovers } from './leftovers.js';
import { BenchServer } from './server.js';

const PROGRAM = { code: 'print(2+2)' };
/** Small enough that a part of the burst is refused. */
const SMALL_QUEUE = 8;

/** Many requests at once: each is answered in the end, or refused with a time to come back. Nothing is left over. */
export async function benchBurst(main: string, requests: number): Promise<void> {
  const patience = ['--queue-timeout-ms', '3600000'];
  await burst('room for all', main, requests, ['--max-queue', String(requests), ...patience]);
  await burst(`room for ${SMALL_QUEUE}`, main, requests, ['--max-queue', String(SMALL_QUEUE), ...patience]);
}

async function burst(name: string, main: string, requests: number, flags: readonly string[]): Promise<void> {
  await using server = await BenchServer.start(main, flags);
  // The first run opens what stays open.
  expectFour(await server.run(PROGRAM));
  await server.poolIsFull();
  const before = await server.holdings();
  const served: number[] = [];
  const waits: number[] = [];
  const failures: string[] = [];
  const one = async (): Promise<void> => {
    const begunAt = performance.now();
    const { status, retryAfter, text } = await server.post(PROGRAM);
    const wait = Number(retryAfter ?? 0);
    if (status === 200 && text.includes('"stdout":"4\\n"')) served.push(performance.now() - begunAt);
    else if (status === 429 && wait > 0) waits.push(wait);
    else failures.push(`${status} ${text}`);
  };
  const whole = await timed(() => Promise.all(Array.from({ length: requests }, one)));
  const sample: Sample = { name: `${requests} at once, ${name}`, values: served };
  printSamples('burst', [sample], sample);
  console.log(
    `${served.length} answered in ${(whole / 1000).toFixed(1)} s, ${waits.length} refused with 429`,
  );
  if (waits.length > 0) console.log(`Retry-After from ${Math.min(...waits)} to ${Math.max(...waits)} s`);
  console.log(`goal: every request is answered or gets 429: ${failures.length} failed`);
  for (const failure of failures) console.log(failure);
  if (failures.length > 0) process.exitCode = 1;
  await reportLeftovers(server, before);
  console.log('');
}

function expectFour(answer: Record<string, unknown>): void {
  if (answer['stdout'] !== '4\n') throw new Error(`wrong answer: ${JSON.stringify(answer)}`);
}
