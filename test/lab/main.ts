/**
 * Runs compiled tests, or a command, in the lab: an outer guest with a working /dev/kvm. `scripts/lab.mjs` sets up the
 * clone, chooses the tests and calls this.
 *
 *     main.js [--time-limit MINUTES] [--other-version DIRECTORY] (--shell COMMAND | TEST...)
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { asGlasshouseError } from '../../src/base/errors.js';
import { findBinaries, isProgram } from './binaries.js';
import { type LabJob } from './job.js';
import { type LabOutcome, runLab } from './run-lab.js';

const DEFAULT_TIME_LIMIT_MINUTES = '40';
const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'time-limit': { type: 'string', default: DEFAULT_TIME_LIMIT_MINUTES },
      'other-version': { type: 'string' },
      shell: { type: 'string' },
    },
  });
  const minutes = Number(values['time-limit']);
  if (!(minutes > 0 && minutes <= 24 * 60)) return fail('--time-limit takes a number of minutes.');
  const found = await findBinaries(process.env);
  if (found.kind !== 'found') {
    if (found.kind === 'wrong') return fail(found.reason);
    say(`the lab is skipped. ${found.reason}`);
    return 0;
  }
  const other = values['other-version'] ?? null;
  if (other !== null && !(await isProgram(join(other, 'firecracker'))))
    return fail(`There is no firecracker in ${other}.`);
  const job: LabJob =
    values.shell === undefined
      ? { kind: 'tests', files: positionals }
      : { kind: 'shell', command: values.shell };
  const stopped = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () => {
      stopped.abort(new Error(`Stopped by ${name}.`));
    });
  }
  try {
    const outcome = await runLab({
      repository: REPOSITORY,
      binaries: found.binaries,
      otherVersion: other,
      job,
      timeLimitMs: minutes * 60_000,
      mirror: process.env['GLASSHOUSE_DEBIAN_MIRROR'] ?? null,
      signal: stopped.signal,
      onProgress: say,
    });
    return report(outcome, minutes);
  } catch (error) {
    return fail(asGlasshouseError(error).message);
  }
}

function report(outcome: LabOutcome, minutes: number): number {
  if (outcome.exitCode === 0) return 0;
  if (outcome.tookTooLong) say(`the lab did not end within ${minutes} minutes (--time-limit).`);
  else if (outcome.exitCode === null) say('the outer guest ended without saying how its job ended.');
  else say(`the job in the outer guest ended with ${outcome.exitCode}.`);
  say(`its output and the console of the outer guest are in ${outcome.logs}`);
  return outcome.exitCode ?? 1;
}

function fail(message: string): number {
  say(message);
  return 1;
}

function say(message: string): void {
  process.stderr.write(`glasshouse lab: ${message}\n`);
}
