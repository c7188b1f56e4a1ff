import { type ProbeReport } from '../backends/backend.js';
import { type Console, type Style } from './console.js';
import { EXIT_CODES } from './exit-codes.js';
import { type Services } from './services.js';

const WORDS: Readonly<Record<ProbeReport['verdict'], string>> = {
  works: 'works',
  works_without_acceleration: 'works without hardware acceleration',
  cannot: 'cannot',
};
const STYLES: Readonly<Record<ProbeReport['verdict'], Style>> = {
  works: 'good',
  works_without_acceleration: 'bold',
  cannot: 'bad',
};

/**
 * `glasshouse doctor`: tries every backend and observation for real. Exits with 0 when one that isolates can run
 * something: one of them is enough, and observation is optional.
 */
export async function doctor(services: Services, console: Console, json: boolean): Promise<number> {
  const reports: ProbeReport[] = [];
  for (const name of services.backendNames) {
    if (!json) console.note(`trying ${name} ...`);
    const backend = await services.backend(name, 'command');
    reports.push(await backend.probe(new AbortController().signal));
  }
  const works = ({ verdict }: ProbeReport): boolean => verdict !== 'cannot';
  const canRun = reports.some((report) => report.isolates && works(report));
  reports.push(await tryToObserve(services, console, json));
  if (json) console.json(reports);
  else for (const report of reports) printReport(console, report);
  return canRun ? 0 : EXIT_CODES.failure;
}

async function tryToObserve(services: Services, console: Console, json: boolean): Promise<ProbeReport> {
  if (!json) console.note('trying observation ...');
  const { tryObservation } = await import('../engine/observation-trial.js');
  const backend = await services.backend('process', 'command');
  return tryObservation(await services.profiler(), backend, new AbortController().signal);
}

function printReport(console: Console, report: ProbeReport): void {
  const verdict = console.style(STYLES[report.verdict], WORDS[report.verdict]);
  console.line(`${report.backend}: ${verdict}`);
  console.line(`  seen    ${console.printable(report.detail)}`);
  if (report.advice !== null) console.line(`  to do   ${console.printable(report.advice)}`);
  for (const finding of report.findings) console.line(`  host    ${console.printable(finding)}`);
}
