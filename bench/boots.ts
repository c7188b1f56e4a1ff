import { printSamples, timed } from './measure.js';
import { BenchServer } from './server.js';

const PROGRESS_EVERY = 20;

/** Cold boots in a row through the server: every one must answer, and none may be tried twice. */
export async function benchBoots(main: string, count: number): Promise<void> {
  await using server = await BenchServer.start(main, ['--snapshots', 'off']);
  const values: number[] = [];
  const failures: string[] = [];
  for (let boot = 1; boot <= count; boot += 1) {
    let answer: Record<string, unknown> = {};
    values.push(
      await timed(async () => {
        answer = await server.run({ code: 'print(2+2)', fresh: true });
      }),
    );
    if (answer['stdout'] !== '4\n') failures.push(`boot ${boot}: ${JSON.stringify(answer)}`);
    if (boot % PROGRESS_EVERY === 0) console.log(`${boot} of ${count} boots, ${failures.length} failed`);
  }
  const sample = { name: `${count} cold boots in a row`, values };
  printSamples('boots', [sample], sample);
  for (const failure of failures) console.log(failure);
  console.log(`goal: ${count} cold boots with no failure: ${failures.length} failed`);
  if (failures.length > 0) process.exitCode = 1;
}
