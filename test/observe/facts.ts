import path from 'node:path';

import {
  type FileSystemRecord,
  type NetworkRecord,
  type ObservedProcess,
} from '../../src/receipts/observed.js';
import { type Text, textToBytes } from '../../src/receipts/text.js';
import { type Workload } from './corpus.js';

/**
 * One thing that happened, in words that strace's log and a receipt have in common: `open /etc/passwd`. Bytes are
 * mapped to characters one to one.
 */
export type Fact = string;

export const bytesOf = (text: Text): string => Buffer.from(textToBytes(text)).toString('latin1');

/** Executions by program, so that their number counts as well. */
export function factsOfReceipt(
  tree: readonly ObservedProcess[],
  { reads, writes, deletes, renames, changes }: FileSystemRecord,
  { attempts }: NetworkRecord,
): Fact[] {
  const executed = tree.flatMap(({ images }) =>
    images.map(({ executable, marks }) =>
      marks.includes('detached') ? 'exec memory' : `exec ${bytesOf(executable ?? '?')}`,
    ),
  );
  const opened = [...reads, ...writes]
    .filter(({ count, marks }) => count > 0 && !marks.includes('detached'))
    .map((access) => `open ${bytesOf(access.path)}`);
  return [
    ...numbered(executed),
    ...opened,
    ...deletes.map((one) => `delete ${bytesOf(one.path)}`),
    ...renames.map((one) => `rename ${bytesOf(one.from)} to ${bytesOf(one.to)}`),
    ...changes
      .filter(({ operation }) => ['mkdir', 'link', 'symlink'].includes(operation))
      .map((one) => `${one.operation} ${bytesOf(one.path)}`),
    ...attempts
      .filter(({ operation }) => operation === 'connect')
      .map((one) => `connect ${one.address === null ? '?' : bytesOf(one.address)}`),
  ];
}

/** `x`, `x`, `y` become `x #1`, `x #2`, `y #1`: as a set they still count. */
export function numbered(facts: readonly Fact[]): Fact[] {
  const seen = new Map<Fact, number>();
  return facts.map((fact) => {
    const number = (seen.get(fact) ?? 0) + 1;
    seen.set(fact, number);
    return `${fact} #${number}`;
  });
}

/** Without what differs from run to run. */
export function comparable(facts: readonly Fact[], { volatile = [] }: Workload): ReadonlySet<Fact> {
  const always = [
    [/\/proc\/\d+/g, '/proc/PID'],
    [/\/task\/\d+/g, '/task/TID'],
  ] as const;
  return new Set(
    facts.map((fact) =>
      [...always, ...volatile].reduce((text, [pattern, by]) => text.replace(pattern, by), fact),
    ),
  );
}

export interface Comparison {
  /** Seen by strace and not in the receipt. */
  readonly missing: readonly Fact[];
  /** In the receipt and not seen by strace. */
  readonly invented: readonly Fact[];
  readonly common: number;
}

export function compare(straceFacts: ReadonlySet<Fact>, receiptFacts: ReadonlySet<Fact>): Comparison {
  const missing = [...straceFacts].filter((fact) => !receiptFacts.has(fact));
  const invented = [...receiptFacts].filter((fact) => !straceFacts.has(fact));
  return { missing, invented, common: straceFacts.size - missing.length };
}

/** The name below the directory, with `.` and doubled slashes gone, as the receipt writes it. */
export function below(directory: string, name: string): string {
  if (name === '') return directory;
  const isAbsolute = name.startsWith('/');
  const segments = name.split('/').filter((segment) => segment !== '' && segment !== '.');
  const base = isAbsolute ? [] : directory.split('/').filter((segment) => segment !== '');
  while (segments[0] === '..') {
    segments.shift();
    base.pop();
  }
  return (
    path.posix.join('/', ...base) +
    segments.map((segment, index) => (index === 0 && base.length === 0 ? segment : `/${segment}`)).join('')
  );
}
