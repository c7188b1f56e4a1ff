/** Roots and proofs out of stored hashes: those of all subtrees that are full and begin at a multiple of their size. */
import { emptyRoot, hashChildren } from './merkle.js';

/** The hash of the subtree of 2^level leaves that begins at leaf index * 2^level; stored once that leaf exists. */
export type ReadHash = (level: number, index: number) => Uint8Array;

/**
 * Where such a hash stands when they are kept in the order in which they become known: after each leaf those of the
 * subtrees that it completes. (The order of Go's sumdb/tlog, StoredHashIndex.)
 */
export function storedPosition(level: number, index: number): number {
  // The last leaf of the subtree; before the hash of leaf n stand n leaves and floor(n / 2^i) subtrees of each level i.
  let position = level;
  for (let count = (index + 1) * 2 ** level - 1; count > 0; count = Math.floor(count / 2)) position += count;
  return position;
}

/** The hashes that become known with leaf `index`: its own, then those of the subtrees that it completes. */
export function completedHashes(index: number, leafHash: Uint8Array, read: ReadHash): Uint8Array[] {
  const hashes = [leafHash];
  let hash = leafHash;
  let node = index;
  for (let level = 0; node % 2 === 1; level += 1) {
    hash = hashChildren(read(level, node - 1), hash);
    hashes.push(hash);
    node = (node - 1) / 2;
  }
  return hashes;
}

/** MTH of the first `size` leaves. */
export function rootOf(size: number, read: ReadHash): Uint8Array {
  return size === 0 ? emptyRoot() : hashOfRange(0, size, read);
}

/** PATH(index, D[size]) of RFC 6962 section 2.1.1, for index < size. */
export function inclusionProof(index: number, size: number, read: ReadHash): Uint8Array[] {
  const path = (begin: number, end: number): Uint8Array[] => {
    if (end - begin === 1) return [];
    const middle = begin + largestPowerBelow(end - begin);
    return index < middle
      ? [...path(begin, middle), hashOfRange(middle, end, read)]
      : [...path(middle, end), hashOfRange(begin, middle, read)];
  };
  return path(0, size);
}

/** PROOF(oldSize, D[newSize]) of RFC 6962 section 2.1.2; empty where nothing has to be proven. */
export function consistencyProof(oldSize: number, newSize: number, read: ReadHash): Uint8Array[] {
  const subproof = (begin: number, end: number, isOldRoot: boolean): Uint8Array[] => {
    if (end === oldSize) return isOldRoot ? [] : [hashOfRange(begin, end, read)];
    const middle = begin + largestPowerBelow(end - begin);
    return oldSize <= middle
      ? [...subproof(begin, middle, isOldRoot), hashOfRange(middle, end, read)]
      : [...subproof(middle, end, false), hashOfRange(begin, middle, read)];
  };
  return oldSize === 0 ? [] : subproof(0, newSize, true);
}

/** MTH(D[begin:end]); `begin` is a multiple of the power of two at or above the length, as in every proof. */
function hashOfRange(begin: number, end: number, read: ReadHash): Uint8Array {
  const length = end - begin;
  const level = Math.log2(length);
  if (Number.isInteger(level)) return read(level, begin / length);
  const middle = begin + largestPowerBelow(length);
  return hashChildren(hashOfRange(begin, middle, read), hashOfRange(middle, end, read));
}

/** The largest power of two below `count`, which is 2 or more. */
function largestPowerBelow(count: number): number {
  let power = 1;
  while (power * 2 < count) power *= 2;
  return power;
}
