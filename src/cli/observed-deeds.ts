/** What an observation says, one line a deed, for people and for comparing two of them. */
import {
  type FileSystemRecord,
  type NetworkRecord,
  type ObservedProcess,
  type PathMark,
} from '../receipts/observed.js';
import { type Predicate, type Text } from '../receipts/receipt.js';
import { bytesForPeople } from './quantities.js';
import { commandForPeople, textForPeople } from './text-for-people.js';

export type DeedKind = 'read' | 'change' | 'network' | 'failure';

export interface Deed {
  readonly kind: DeedKind;
  /** What was done to what: the same for the same deed in another run. */
  readonly what: string;
  /** How often, how much: may differ from run to run. */
  readonly details: readonly string[];
  /** `id`s of processes. */
  readonly processes: readonly number[];
  /** It is about a part of the system that most programs look at: of less interest than the others. */
  readonly isRoutine: boolean;
}

/** Libraries, locales, devices: what nearly every program opens, or looks for, before it does anything of its own. */
const ROUTINE = /^\/(?:usr|lib|lib32|lib64|proc|sys|dev)\/|^\/etc\/(?:ld\.so\.|locale)/;

/** In the order in which a reader wants them: what was changed, then what was talked to, what was read, what failed. */
export function deedsOf({ filesystem, network }: Pick<Predicate, 'filesystem' | 'network'>): Deed[] {
  const files = filesystem === null ? [] : fileDeeds(filesystem);
  const order: readonly DeedKind[] = ['change', 'network', 'read', 'failure'];
  const all = [...files, ...(network === null ? [] : networkDeeds(network))];
  return order.flatMap((kind) => all.filter((deed) => deed.kind === kind));
}

function fileDeeds(record: FileSystemRecord): Deed[] {
  return [
    ...record.writes.map((one) =>
      deed('change', `${one.created ? 'create' : 'write'} ${marked(one.path, one.marks)}`, one, amounts(one)),
    ),
    ...record.renames.map((one) => {
      const arrow = one.exchange ? '<->' : '->';
      return deed(
        'change',
        `rename ${marked(one.from, one.marks)} ${arrow} ${textForPeople(one.to)}`,
        one,
        times(one),
      );
    }),
    ...record.deletes.map((one) => {
      const verb = one.directory ? 'rmdir' : 'delete';
      return deed('change', `${verb} ${marked(one.path, one.marks)}`, one, times(one));
    }),
    ...record.changes.map((one) => {
      const target = one.target === null ? '' : ` -> ${textForPeople(one.target)}`;
      const value = one.value === null ? '' : ` ${one.value}`;
      return deed(
        'change',
        `${one.operation}${value} ${marked(one.path, one.marks)}${target}`,
        one,
        times(one),
      );
    }),
    ...record.reads.map((one) =>
      deed('read', `read ${marked(one.path, one.marks)}`, one, amounts(one), one.path),
    ),
    ...record.failures.map((one) => {
      const what = `${one.operation} ${marked(one.path, one.marks)}: ${one.error}`;
      return deed('failure', what, one, times(one), one.path);
    }),
  ];
}

function networkDeeds({ attempts, peers, names }: NetworkRecord): Deed[] {
  return [
    ...attempts.map((one) => {
      const error = one.error === null ? '' : `: ${one.error}`;
      return deed('network', `${one.operation} ${endpoint(one)}${error}`, one, times(one));
    }),
    ...peers.map((one) => {
      const sent = one.bytes_sent === null ? '?' : bytesForPeople(one.bytes_sent);
      const received = one.bytes_received === null ? '?' : bytesForPeople(one.bytes_received);
      return deed('network', `talk to ${endpoint(one)}`, one, [`${sent} sent`, `${received} received`]);
    }),
    ...names.map((one) => deed('network', `look up ${textForPeople(one.name)}`, one, times(one))),
  ];
}

/** The command line of what a process ran last, or that it went on with its parent's image. */
export function commandOf({ images }: ObservedProcess): string {
  const image = images.at(-1);
  if (image === undefined) return '(as its parent)';
  return `${commandForPeople(image.argv)}${image.argv_complete ? '' : ' ...'}`;
}

/** An address and port as one writes them: `tcp [::1]:80`, `unix /run/x`. */
function endpoint(end: {
  readonly family: string;
  readonly protocol: string;
  readonly address: Text | null;
  readonly port: number | null;
}): string {
  const address = end.address === null ? '-' : textForPeople(end.address);
  const host = end.family === 'inet6' ? `[${address}]` : address;
  const isInternet = end.family === 'inet' || end.family === 'inet6';
  return `${isInternet ? end.protocol : end.family} ${host}${end.port === null ? '' : `:${end.port}`}`;
}

function deed(
  kind: DeedKind,
  what: string,
  { processes }: { readonly processes: readonly number[] },
  details: readonly string[],
  path: Text | null = null,
): Deed {
  const isRoutine = typeof path === 'string' && ROUTINE.test(path);
  return { kind, what, details, processes, isRoutine };
}

/** Nothing was opened when the process got it open. */
function times({ count }: { readonly count: number }): string[] {
  if (count === 0) return ['inherited'];
  return count === 1 ? [] : [`${count} times`];
}

/** No bytes: it was mapped, or only looked at. */
function amounts(one: { readonly count: number; readonly bytes: number | null }): string[] {
  return [...times(one), ...(one.bytes === null || one.bytes === 0 ? [] : [bytesForPeople(one.bytes)])];
}

function marked(path: Text, marks: readonly PathMark[]): string {
  return `${textForPeople(path)}${marks.length === 0 ? '' : ` (${marks.join(', ')})`}`;
}
