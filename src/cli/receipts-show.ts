import { type Predicate, type Resources } from '../receipts/receipt.js';
import { type StoredReceipt } from '../receipts/store.js';
import { type Console } from './console.js';
import { drawProcessTree } from './process-tree.js';
import { bytesForPeople, microsecondsForPeople } from './quantities.js';
import { type Services } from './services.js';
import { findReceipt, statementOf } from './stored-receipt.js';
import { commandForPeople, textForPeople } from './text-for-people.js';

type Line = readonly [name: string, value: string];

/** `glasshouse receipts show`: one receipt for a person to read. */
export async function showReceipt(
  services: Services,
  console: Console,
  options: { readonly id: string; readonly all: boolean; readonly json: boolean },
): Promise<number> {
  const receipt = findReceipt(await services.store(), options.id);
  const statement = statementOf(receipt);
  if (options.json) console.json(statement);
  else printReceipt(console, receipt, statement.predicate, options.all);
  return 0;
}

function printReceipt(console: Console, receipt: StoredReceipt, predicate: Predicate, all: boolean): void {
  const section = (heading: string, lines: readonly Line[]): void => {
    console.line(console.style('bold', heading));
    for (const [name, value] of lines)
      console.line(`  ${console.printable(name.padEnd(12))} ${console.printable(value)}`);
  };
  section(`receipt ${receipt.receiptId}`, [
    ['execution', predicate.execution_id],
    ['started', predicate.timestamp],
    ['finished', predicate.finished_at],
    ['seen by', predicate.provenance],
  ]);
  section('outcome', outcomeLines(predicate));
  section('request', requestLines(predicate));
  section('execution', executionLines(predicate));
  section('output', outputLines(predicate, receipt.outputsDroppedAt));
  section('observation', observationLines(predicate));
  for (const { text, style } of drawProcessTree(predicate, { all })) {
    const printable = `  ${console.printable(text)}`;
    console.line(style === null ? printable : console.style(style, printable));
  }
}

function outcomeLines({ outcome }: Predicate): Line[] {
  return [
    ['status', outcome.status],
    ['exit', outcome.signal ?? String(outcome.exit_code ?? '-')],
    ...(outcome.error === null
      ? []
      : [['error', `${outcome.error.code}: ${outcome.error.message}`] as const]),
  ];
}

function requestLines({ request, redaction }: Predicate): Line[] {
  return [
    [request.kind, commandForPeople(request.argv) || '-'],
    ...(request.code_sha256 === null ? [] : [['code sha256', request.code_sha256] as const]),
    ...(request.env_values ?? []).map(
      ({ name, value }) => ['variable', `${textForPeople(name)}=${textForPeople(value)}`] as const,
    ),
    ['deadline', request.timeout_ms === null ? 'none' : `${request.timeout_ms} ms`],
    ...((redaction?.fields.length ?? 0) === 0
      ? []
      : [['redacted', `${redaction?.fields.length ?? 0} texts`] as const]),
  ];
}

function executionLines({ execution, timing, resources }: Predicate): Line[] {
  const stages = Object.entries(timing.boot_stages).map(
    ([name, us]) => `${name.replace(/_us$/, '')} ${microsecondsForPeople(us)}`,
  );
  return [
    ['backend', `${execution.backend}, isolation ${execution.isolation}, ${execution.start} start`],
    ['monitor', execution.vmm_version ?? 'none'],
    ['timing', `queue ${timing.queue_ms} ms, boot ${timing.boot_ms} ms, run ${timing.run_ms} ms`],
    ...(stages.length === 0 ? [] : [['boot', stages.join(', ')] as const]),
    ['resources', resourcesForPeople(resources)],
    ...execution.notes.map((note) => ['note', note] as const),
  ];
}

function outputLines({ artifacts }: Predicate, droppedAt: string | null): Line[] {
  const { files } = artifacts;
  return [
    ['stdout', streamForPeople(artifacts.stdout_sha256, artifacts.stdout_bytes, artifacts.stdout_complete)],
    ['stderr', streamForPeople(artifacts.stderr_sha256, artifacts.stderr_bytes, artifacts.stderr_complete)],
    ...files.map(
      (file) =>
        [
          'file',
          `${textForPeople(file.path)} ${bytesForPeople(file.size_bytes)} ${file.sha256 ?? file.omitted ?? ''}`,
        ] as const,
    ),
    ...(droppedAt === null
      ? []
      : [['dropped', `what was kept of these was dropped at ${droppedAt}`] as const]),
  ];
}

function observationLines({ observation, syscalls, network, filesystem }: Predicate): Line[] {
  if (observation.level === 'none') return [['none', observation.reason]];
  const counts = (table: Readonly<Record<string, number>>): string =>
    Object.entries(table)
      .filter(([, count]) => count > 0)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  const calls = Object.entries(syscalls?.counts ?? {}).sort(([, one], [, other]) => other - one);
  const amount = (bytes: number | null = null): string => (bytes === null ? '?' : bytesForPeople(bytes));
  return [
    [
      observation.level,
      observation.complete ? 'complete' : `NOT complete: ${observation.reason ?? 'see below'}`,
    ],
    ...(
      [
        ['dropped', counts(observation.dropped)],
        ['left out', counts(observation.omitted)],
      ] as const
    ).filter(([, text]) => text !== ''),
    ...(observation.blind_spots.length === 0
      ? []
      : [['blind spots', observation.blind_spots.join(', ')] as const]),
    ['files', `${amount(filesystem?.bytes_read)} read, ${amount(filesystem?.bytes_written)} written`],
    ['network', `${amount(network?.bytes_sent)} sent, ${amount(network?.bytes_received)} received`],
    [
      'calls',
      calls
        .slice(0, MOST_CALLS)
        .map(([name, count]) => `${name} ${count}`)
        .join(', '),
    ],
    ...(syscalls?.denied ?? []).map(
      ({ name, error, count }) => ['denied', `${name} ${error}, ${count} times`] as const,
    ),
    ...(syscalls?.notable ?? []).map(
      ({ name, count, succeeded }) => ['notable', `${name} ${count} times, ${succeeded} succeeded`] as const,
    ),
  ];
}

const MOST_CALLS = 8;

function resourcesForPeople(resources: Resources | null): string {
  if (resources === null) return 'not measured';
  const { max_rss_kb, cpu_time_ms } = resources;
  return `${bytesForPeople(max_rss_kb * 1024)} of memory, ${cpu_time_ms} ms of CPU`;
}

function streamForPeople(sha256: string | null, bytes: number | null, complete: boolean): string {
  if (sha256 === null) return 'not captured';
  return `${bytes ?? 0} bytes ${sha256}${complete ? '' : ' (not all of it)'}`;
}
