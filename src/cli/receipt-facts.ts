import { type Predicate } from '../receipts/receipt.js';
import { commandOf, deedsOf } from './observed-deeds.js';
import { textForPeople } from './text-for-people.js';

export const SECTIONS = [
  'outcome',
  'request',
  'environment',
  'execution',
  'timing',
  'resources',
  'output',
  'observation',
  'processes',
  'files',
  'network',
  'syscalls',
] as const;
export type Section = (typeof SECTIONS)[number];

export type FactValue = string | number | boolean | null | readonly string[];

/** One thing that a receipt says: two receipts are compared fact by fact. */
export interface Fact {
  readonly section: Section;
  /** What it is about; there is one fact of a name in a section. */
  readonly name: string;
  readonly value: FactValue;
}

/** Everything in a receipt that can be compared with another. Ids and times of day always differ and are left out. */
export function factsOf(predicate: Predicate): Fact[] {
  return [
    ...fields('outcome', { ...predicate.outcome, error: errorText(predicate) }),
    ...requestFacts(predicate),
    ...fields('environment', predicate.environment),
    ...executionFacts(predicate),
    ...fields('timing', timings(predicate)),
    ...fields('resources', predicate.resources ?? {}),
    ...outputFacts(predicate),
    ...observedFacts(predicate),
  ];
}

function requestFacts({ request }: Predicate): Fact[] {
  const { kind, code_sha256, argv, stdin_sha256, timeout_ms, limits } = request;
  const words = argv.map(textForPeople);
  return [
    ...fields('request', { kind, code_sha256, argv: words, stdin_sha256, timeout_ms }),
    ...prefixed('limits.', fields('request', limits ?? {})),
    ...request.input_files.map((file) =>
      fact('request', `input file ${textForPeople(file.path)}`, file.sha256),
    ),
    ...request.env_names.map((name) => fact('environment', `variable ${textForPeople(name)}`, 'set')),
    ...(request.env_values ?? []).map(({ name, value }) =>
      fact('environment', `value of ${textForPeople(name)}`, textForPeople(value)),
    ),
  ];
}

function executionFacts({ execution, provenance }: Predicate): Fact[] {
  const { backend, isolation, start, vmm_version, image, notes } = execution;
  return [
    ...fields('execution', { provenance, backend, isolation, start, vmm_version, notes }),
    ...prefixed('image.', fields('execution', image ?? {})),
  ];
}

function outputFacts({ artifacts }: Predicate): Fact[] {
  const { files, ...streams } = artifacts;
  return [
    ...fields('output', streams),
    ...files.map((file) =>
      fact('output', `file ${textForPeople(file.path)}`, [
        `${file.size_bytes} bytes`,
        file.mode,
        file.sha256 ?? file.omitted ?? '',
      ]),
    ),
  ];
}

function observedFacts(predicate: Predicate): Fact[] {
  const { observation, process_tree, syscalls } = predicate;
  const counts = new Map<string, number>();
  for (const process of process_tree) {
    const command = commandOf(process);
    counts.set(command, (counts.get(command) ?? 0) + 1);
  }
  const deeds = new Map(deedsOf(predicate).map((deed) => [`${deed.kind} ${deed.what}`, deed]));
  return [
    fact('observation', 'level', observation.level),
    ...(observation.level === 'none' ? [] : [fact('observation', 'complete', observation.complete)]),
    ...[...counts].map(([command, count]) => fact('processes', command, count)),
    ...[...deeds.values()].map(({ kind, what }) =>
      fact(
        kind === 'network' ? 'network' : 'files',
        `${kind === 'failure' ? 'failed: ' : ''}${what}`,
        'done',
      ),
    ),
    ...fields('syscalls', syscalls?.counts ?? {}),
    ...(syscalls?.denied ?? []).map(({ name, error, count }) =>
      fact('syscalls', `denied ${name} ${error}`, count),
    ),
    ...(syscalls?.notable ?? []).map(({ name, count }) => fact('syscalls', `notable ${name}`, count)),
  ];
}

function timings({ timing, timestamp, finished_at }: Predicate): Record<string, number> {
  const { queue_ms, boot_ms, run_ms, boot_stages } = timing;
  const whole_ms = Date.parse(finished_at) - Date.parse(timestamp);
  return { whole_ms, queue_ms, boot_ms, run_ms, ...boot_stages };
}

function errorText({ outcome }: Predicate): string | null {
  return outcome.error === null ? null : `${outcome.error.code}: ${outcome.error.message}`;
}

function fields(section: Section, values: object): Fact[] {
  return Object.entries(values as Record<string, FactValue>).map(([name, value]) =>
    fact(section, name, value),
  );
}

function prefixed(prefix: string, facts: readonly Fact[]): Fact[] {
  return facts.map((one) => ({ ...one, name: `${prefix}${one.name}` }));
}

function fact(section: Section, name: string, value: FactValue): Fact {
  return { section, name, value };
}
