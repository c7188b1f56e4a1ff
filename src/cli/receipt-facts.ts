import {
  type FileSystemRecord,
  type NetworkRecord,
  type ObservedImage,
  type ObservedProcess,
} from '../receipts/observed.js';
import { type Predicate, type Text } from '../receipts/receipt.js';
import { commandOf, deedsOf } from './observed-deeds.js';
import { commandForPeople, textForPeople } from './text-for-people.js';

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

/**
 * What a receipt says that can be compared with another. Ids and times of day always differ and are left out; who did each
 * deed, how often, and the bytes of each file and peer, too: the totals stand for them.
 */
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
      fact('request', `input file ${textForPeople(file.path)}`, [`${file.size_bytes} bytes`, file.sha256]),
    ),
    ...request.env_names.map((name) => fact('environment', `variable ${textForPeople(name)}`, 'set')),
    ...(request.env_values ?? []).map(({ name, value }) =>
      fact('environment', `value of ${textForPeople(name)}`, textForPeople(value)),
    ),
  ];
}

function executionFacts({ execution, provenance }: Predicate): Fact[] {
  const { backend, isolation, start, snapshot, vmm_version, image, notes } = execution;
  const cloneOf = snapshot?.sha256 ?? null;
  return [
    ...fields('execution', { provenance, backend, isolation, start, snapshot: cloneOf, vmm_version, notes }),
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
  return [
    ...observationFacts(predicate),
    ...processFacts(predicate),
    ...deedFacts(predicate),
    ...callFacts(predicate),
  ];
}

function observationFacts({ observation }: Predicate): Fact[] {
  if (observation.level === 'none') return [fact('observation', 'level', observation.level)];
  const { level, complete, reason, hooks, blind_spots, blind_from_us } = observation;
  const { dropped, omitted, totals } = observation;
  return [
    ...fields('observation', { level, complete, reason, hooks, blind_spots, blind_from_us }),
    ...prefixed('dropped.', fields('observation', dropped)),
    ...prefixed('omitted.', fields('observation', omitted)),
    ...prefixed('totals.', fields('observation', totals ?? {})),
  ];
}

/** By command line, since ids and pids tell nothing: how many there were, and how many of them ran in which way. */
function processFacts({ process_tree }: Predicate): Fact[] {
  const byCommand = new Map<string, Map<string, number>>();
  for (const process of process_tree) {
    const command = commandOf(process);
    const ways = byCommand.get(command) ?? new Map<string, number>();
    const way = wayOf(process);
    byCommand.set(command, ways.set(way, (ways.get(way) ?? 0) + 1));
  }
  return [...byCommand].map(([command, ways]) =>
    fact('processes', command, [...ways].map(([way, count]) => `${count} times ${way}`).sort()),
  );
}

/** What a process ran, one after the other, as whom and where, and how it ended. */
function wayOf({ images, exit_code, signal }: ObservedProcess): string {
  const end = signal ?? (exit_code === null ? 'end not seen' : `exit ${exit_code}`);
  return images.length === 0 ? end : `${images.map(imageForPeople).join(' then ')}: ${end}`;
}

function imageForPeople({ executable, script, marks, cwd, uid, euid, privileged }: ObservedImage): string {
  const known = (text: Text | null): string => (text === null ? '?' : commandForPeople([text]));
  const traits = [...marks, ...(privileged ? ['privileged'] : [])].map((trait) => ` (${trait})`).join('');
  const interpreted = script === null ? '' : ` for ${known(script)}`;
  return `${known(executable)}${traits}${interpreted} in ${known(cwd)} as ${uid} effective ${euid}`;
}

function deedFacts(predicate: Predicate): Fact[] {
  const { filesystem, network } = predicate;
  const deeds = new Map(deedsOf(predicate).map((deed) => [`${deed.kind} ${deed.what}`, deed]));
  const amounts = (record: FileSystemRecord | NetworkRecord | null): object =>
    Object.fromEntries(Object.entries(record ?? {}).filter(([name]) => name.startsWith('bytes_')));
  return [
    ...[...deeds.values()].map(({ kind, what }) =>
      fact(
        kind === 'network' ? 'network' : 'files',
        `${kind === 'failure' ? 'failed: ' : ''}${what}`,
        'done',
      ),
    ),
    ...fields('files', amounts(filesystem)),
    ...fields('network', amounts(network)),
  ];
}

function callFacts({ syscalls }: Predicate): Fact[] {
  return [
    ...fields('syscalls', syscalls?.counts ?? {}),
    ...(syscalls?.denied ?? []).map(({ name, error, count }) =>
      fact('syscalls', `denied ${name} ${error}`, count),
    ),
    ...(syscalls?.notable ?? []).map(({ name, count, succeeded }) =>
      fact('syscalls', `notable ${name}`, [`${count} times`, `${succeeded} succeeded`]),
    ),
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
