import { type End, OBSERVER_FRAME_TYPES } from '../observer-message.js';

/** By code: docs/observer-link.md, "81 end". */
const GAPS: Readonly<Record<number, string>> = {
  1: 'truncated',
  2: 'unreadable',
  3: 'unresolved',
  4: 'foreign_abi',
  5: 'file_table_full',
  6: 'peer_table_full',
  7: 'untracked',
  8: 'privileged',
  9: 'argv',
  10: 'io_uring',
  11: 'before_attach',
  12: 'batch',
};
/** Gaps that somebody could use on purpose to do what is not seen. */
const WAYS_PAST = ['foreign_abi', 'io_uring', 'privileged', 'untracked'];
const MAX_CATEGORIES = 60;

/** The receipt's `dropped`: what was lost, by category, in alphabetical order. */
export function droppedOf(end: End | null, unknownMessages: number): Record<string, number> {
  const counts = new Map<string, number>();
  const add = (name: string, count: number): void => {
    const fits = counts.has(name) || counts.size < MAX_CATEGORIES;
    const category = fits ? name : 'other';
    if (count > 0) counts.set(category, (counts.get(category) ?? 0) + count);
  };
  for (const [type, count] of end?.lost ?? []) add(`lost_${typeName(type)}`, count);
  for (const [code, count] of end?.gaps ?? []) add(GAPS[code] ?? `gap_${code}`, count);
  add('unknown_messages', unknownMessages);
  return Object.fromEntries([...counts].sort(([one], [other]) => (one < other ? -1 : 1)));
}

export function blindSpotsOf(dropped: Readonly<Record<string, number>>): string[] {
  return WAYS_PAST.filter((name) => (dropped[name] ?? 0) > 0);
}

function typeName(type: number): string {
  const known = Object.entries(OBSERVER_FRAME_TYPES).find(([, number]) => number === type);
  return known?.[0] ?? `type_${type}`;
}
