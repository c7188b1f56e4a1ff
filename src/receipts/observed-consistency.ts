import { type Deeds, type FileSystemRecord, type NetworkRecord, type ObservedProcess } from './observed.js';
import { type Predicate } from './receipt.js';

/** What the observed parts of a receipt may not say because they contradict each other; null when they do not. */
export function findObservedContradiction(predicate: Predicate): string | null {
  const { observation, process_tree, filesystem, network, syscalls } = predicate;
  const parts = [filesystem, network, syscalls];
  if (observation.level === 'none') {
    const empty = process_tree.length === 0 && parts.every((part) => part === null);
    return empty ? null : 'something was observed although nobody watched';
  }
  if (filesystem === null || network === null || syscalls === null)
    return 'a part that was observed is missing';
  if (!predicate.provenance.split('+').includes('host')) return 'the host observed what it did not see';
  const { complete, blind_from_us, dropped, omitted } = observation;
  const missing = blind_from_us !== null || hasCounts(dropped) || hasCounts(omitted);
  if (complete && missing) return 'the observation is complete although something is missing';
  const ids = new Set(process_tree.map(({ id }) => id));
  const { reads, writes } = filesystem;
  // Who only inherits a file, or whose totals are missing, has done nothing once.
  const users = [...reads, ...writes, ...network.peers];
  const deeds = [...fileDeeds(filesystem), ...networkDeeds(network), ...syscalls.notable];
  return treeProblem(process_tree) ?? doersProblem(ids, [...users, ...deeds]) ?? countProblem(deeds);
}

function treeProblem(tree: readonly ObservedProcess[]): string | null {
  const known = new Set<number>();
  let last = 0;
  for (const { id, parent, started_us, ended_us, exit_code, signal } of tree) {
    if (id <= last) return 'the processes are not in order of birth';
    if (parent !== null && !known.has(parent)) return 'a process was born before its parent';
    if (ended_us !== null && ended_us < started_us) return 'a process ended before it started';
    if (exit_code !== null && signal !== null) return 'a process has both an exit code and a signal';
    known.add(id);
    last = id;
  }
  return null;
}

function doersProblem(ids: ReadonlySet<number>, deeds: readonly Pick<Deeds, 'processes'>[]): string | null {
  for (const { processes } of deeds) {
    let last = 0;
    for (const id of processes) {
      if (id <= last) return 'the processes of a deed are not in order';
      if (!ids.has(id)) return 'a deed was done by a process that is not listed';
      last = id;
    }
  }
  return null;
}

function countProblem(deeds: readonly Deeds[]): string | null {
  const impossible = deeds.some(({ processes, count }) => processes.length > count);
  return impossible ? 'a deed was done by more processes than times' : null;
}

function fileDeeds({ deletes, renames, changes, failures }: FileSystemRecord): Deeds[] {
  return [...deletes, ...renames, ...changes, ...failures];
}

function networkDeeds({ attempts, names }: NetworkRecord): Deeds[] {
  return [...attempts, ...names];
}

function hasCounts(table: Readonly<Record<string, number>>): boolean {
  return Object.values(table).some((count) => count > 0);
}
