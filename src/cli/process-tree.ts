import { type ObservedProcess } from '../receipts/observed.js';
import { type Predicate } from '../receipts/receipt.js';
import { type Style } from './console.js';
import { commandOf, type Deed, type DeedKind, deedsOf } from './observed-deeds.js';
import { microsecondsForPeople } from './quantities.js';

/** One line; `style` is for all of it. The text is not yet safe for a terminal. */
export interface TreeLine {
  readonly text: string;
  readonly style: Style | null;
}

export interface TreeOptions {
  /** Everything, however long; otherwise the first few of each kind, and a count of the others. */
  readonly all: boolean;
}

const MOST_PROCESSES = 200;
const MOST_OF_KIND = 12;
/** Of those that most programs have in common. */
const MOST_ROUTINE = 3;
/** Of the processes that did one thing, how many are named. */
const MOST_NAMED = 3;
const NOUNS: Readonly<Record<DeedKind, readonly [one: string, many: string]>> = {
  read: ['file read', 'files read'],
  change: ['change', 'changes'],
  network: ['connection', 'connections'],
  failure: ['failure', 'failures'],
};

/**
 * The processes as a tree, under each of them what it alone did to files and whom it talked to; then, once, what several
 * of them did: how often and how much is only known of all of them together.
 */
export function drawProcessTree(predicate: Predicate, { all }: TreeOptions): TreeLine[] {
  const tree = predicate.process_tree;
  const shown = all ? tree : tree.slice(0, MOST_PROCESSES);
  const known = new Set(shown.map(({ id }) => id));
  const children = groupBy(shown, ({ parent }) => (parent !== null && known.has(parent) ? parent : 0));
  const everything = deedsOf(predicate);
  const deeds = groupBy(
    everything.filter(({ processes }) => processes.length === 1),
    ({ processes }) => processes[0] ?? 0,
  );
  const lines: TreeLine[] = [];
  drawChildren(0, '', { children, deeds, all, lines });
  if (shown.length < tree.length)
    lines.push({ text: `and ${tree.length - shown.length} processes more (--all)`, style: 'dim' });
  const shared = everything.filter(({ processes }) => processes.length !== 1);
  return [...lines, ...sharedLines(shared, new Map(tree.map(({ id, pid }) => [id, pid])), all)];
}

function sharedLines(deeds: readonly Deed[], pids: ReadonlyMap<number, number>, all: boolean): TreeLine[] {
  if (deeds.length === 0) return [];
  const named = deeds.map((deed) => ({ ...deed, details: [...deed.details, doersOf(deed, pids)] }));
  return [
    { text: 'by several processes, all together', style: null },
    ...deedLines(named, all).map((line) => ({ ...line, text: `  ${line.text}` })),
  ];
}

function doersOf({ processes }: Deed, pids: ReadonlyMap<number, number>): string {
  if (processes.length === 0) return 'by processes that are not listed';
  if (processes.length > MOST_NAMED) return `by ${processes.length} processes`;
  return `by ${processes.map((id) => pids.get(id) ?? '?').join(', ')}`;
}

interface Drawing extends TreeOptions {
  /** By the id of the parent; 0: the top. */
  readonly children: ReadonlyMap<number, readonly ObservedProcess[]>;
  readonly deeds: ReadonlyMap<number, readonly Deed[]>;
  readonly lines: TreeLine[];
}

/** Depth first without recursion: a chain of processes can be as long as the tree. */
function drawChildren(top: number, indent: string, drawing: Drawing): void {
  const { children, deeds, all, lines } = drawing;
  const open = branchesBelow(top, indent, children);
  for (let branch = open.pop(); branch !== undefined; branch = open.pop()) {
    const { process, first, rest } = branch;
    lines.push({ text: `${first}${process.pid} ${commandOf(process)}  ${endOf(process)}`, style: null });
    const below = branchesBelow(process.id, rest, children);
    const bar = below.length > 0 ? '│ ' : '  ';
    for (const line of deedLines(deeds.get(process.id) ?? [], all))
      lines.push({ ...line, text: `${rest}${bar}  ${line.text}` });
    open.push(...below);
  }
}

interface Branch {
  readonly process: ObservedProcess;
  /** What stands before its own line, and before those below it. */
  readonly first: string;
  readonly rest: string;
}

/** The last one first, as a stack wants them. */
function branchesBelow(id: number, indent: string, children: Drawing['children']): Branch[] {
  const own = children.get(id) ?? [];
  return own
    .map((process, index) => {
      if (id === 0) return { process, first: indent, rest: indent };
      const isLast = index === own.length - 1;
      return {
        process,
        first: `${indent}${isLast ? '└─ ' : '├─ '}`,
        rest: `${indent}${isLast ? '   ' : '│  '}`,
      };
    })
    .reverse();
}

function deedLines(deeds: readonly Deed[], all: boolean): TreeLine[] {
  return [...groupBy(deeds, ({ kind }) => kind)].flatMap(([kind, ofKind]) => {
    const shown = all ? ofKind : mostTelling(ofKind);
    const hidden = ofKind.length - shown.length;
    return [
      ...shown.map(deedLine),
      ...(hidden === 0
        ? []
        : [
            {
              text: `and ${hidden} ${NOUNS[kind][hidden === 1 ? 0 : 1]} more (--all)`,
              style: 'dim' as const,
            },
          ]),
    ];
  });
}

/** What is the program's own comes first. */
function mostTelling(deeds: readonly Deed[]): Deed[] {
  const own = deeds.filter(({ isRoutine }) => !isRoutine).slice(0, MOST_OF_KIND);
  const routine = deeds.filter(({ isRoutine }) => isRoutine);
  return [...own, ...routine.slice(0, Math.min(MOST_ROUTINE, MOST_OF_KIND - own.length))];
}

function deedLine({ kind, what, details, isRoutine }: Deed): TreeLine {
  const more = details.length === 0 ? '' : `  ${details.join(', ')}`;
  const text = `${kind === 'failure' ? 'failed: ' : ''}${what}${more}`;
  return { text, style: isRoutine ? 'dim' : STYLES[kind] };
}

const STYLES: Readonly<Record<DeedKind, Style | null>> = {
  read: 'dim',
  change: null,
  network: 'bold',
  failure: 'bad',
};

function endOf({ exit_code, signal, started_us, ended_us }: ObservedProcess): string {
  if (ended_us === null) return '[end not seen]';
  const how = signal ?? (exit_code === null ? 'ended' : `exit ${exit_code}`);
  return `[${how}, ${microsecondsForPeople(ended_us - started_us)}]`;
}

function groupBy<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}
