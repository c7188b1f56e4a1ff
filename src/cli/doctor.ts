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

/** `glasshouse doctor`: tries every backend for real. Exits with 0 when all of them can run something. */
export async function doctor(services: Services, console: Console, json: boolean): Promise<number> {
  const reports: ProbeReport[] = [];
  for (const name of services.backendNames) {
    if (!json) console.note(`trying ${name} ...`);
    const backend = await services.backend(name, 'command');
    reports.push(await backend.probe(new AbortController().signal));
  }
  if (json) console.json(reports);
  else for (const report of reports) printReport(console, report);
  return reports.every((report) => report.verdict !== 'cannot') ? 0 : EXIT_CODES.failure;
}

function printReport(console: Console, report: ProbeReport): void {
  const verdict = console.style(STYLES[report.verdict], WORDS[report.verdict]);
  console.line(`${report.backend}: ${verdict}`);
  console.line(`  seen    ${console.printable(report.detail)}`);
  if (report.advice !== null) console.line(`  to do   ${console.printable(report.advice)}`);
}
