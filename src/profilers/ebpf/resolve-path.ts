import { PATH_MARKS, type PathMark } from '../../receipts/observed.js';
import { type Text, textFromBytes } from '../../receipts/text.js';
import { type Name, type Operand, PATH_FLAGS } from './observer-message.js';

/** A path as the receipt has it. */
export interface ResolvedPath {
  readonly bytes: Buffer;
  readonly marks: readonly PathMark[];
}

const FLAG_OF_MARK: Readonly<Record<PathMark, number>> = {
  chroot: PATH_FLAGS.chroot,
  deleted: PATH_FLAGS.deleted,
  detached: PATH_FLAGS.detached,
  mount_namespace: PATH_FLAGS.namespace,
  truncated: PATH_FLAGS.truncated,
  unresolved: PATH_FLAGS.unresolved,
};
/** One array for each of the 64 combinations: millions of paths share them. */
const MARKS = Array.from({ length: 64 }, (_, flags) =>
  PATH_MARKS.filter((mark) => (flags & FLAG_OF_MARK[mark]) !== 0),
);
const SLASH = 0x2f;

export function marksOf(flags: number): readonly PathMark[] {
  return MARKS[flags & 63] ?? [];
}

export function resolveName(name: Name): ResolvedPath {
  return { bytes: name.bytes, marks: marksOf(name.flags) };
}

/** Null where the kernel could tell nothing. */
export function textOfName(name: Name): Text | null {
  return name.bytes.length === 0 && (name.flags & PATH_FLAGS.unresolved) !== 0
    ? null
    : textFromBytes(name.bytes);
}

/**
 * The name below the directory that the call started from. The directory is the kernel's own path, so that `..` right
 * behind it can be followed; what comes later may lead through symbolic links and stays as it was written.
 */
export function resolveOperand({ directory, name }: Operand): ResolvedPath {
  const marks = marksOf(directory.flags | name.flags);
  if (name.bytes.length === 0) return { bytes: directory.bytes, marks };
  const base = segmentsOf(directory.bytes);
  const segments = segmentsOf(name.bytes).filter((segment) => segment !== '.');
  const isAbsolute = name.bytes[0] === SLASH;
  while (segments[0] === '..') {
    segments.shift();
    // Above the root there is nothing, above that of a chroot neither.
    if (!isAbsolute) base.pop();
  }
  // Latin-1 maps every byte to one character and back.
  return { bytes: Buffer.from(`/${[...base, ...segments].join('/')}`, 'latin1'), marks };
}

function segmentsOf(path: Buffer): string[] {
  if (path.length === 1 && path[0] === SLASH) return [];
  return path
    .toString('latin1')
    .split('/')
    .filter((segment) => segment !== '');
}
