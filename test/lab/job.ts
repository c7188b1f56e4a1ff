/** The one that people read, and the one that fails a run in which something was skipped. */
const REPORTERS = [
  ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
  ...['--test-reporter=./dist/test/lab/no-skips.js', '--test-reporter-destination=stderr'],
];

/** Of one file, which takes some minutes: one that hangs is named, long before the lab is over. */
const FILE_LIMIT_MS = 15 * 60_000;

/** What the outer guest is booted for. */
export type LabJob =
  | { readonly kind: 'tests'; readonly files: readonly string[] }
  | { readonly kind: 'shell'; readonly command: string };

/**
 * The job as a script of sh.
 *
 * @param environment lines that come first
 */
export function jobScript(job: LabJob, environment: readonly string[]): string {
  return [...environment, jobCommand(job), ''].join('\n');
}

function jobCommand(job: LabJob): string {
  if (job.kind === 'shell') return job.command;
  const flags = ['--test', '--test-concurrency=1', `--test-timeout=${FILE_LIMIT_MS}`, ...REPORTERS];
  return ['exec', 'node', ...flags, ...job.files].map(quoted).join(' ');
}

/** A word of sh that stands for itself. */
function quoted(word: string): string {
  return /^[\w./=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
