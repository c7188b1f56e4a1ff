/** Hashes and proofs of the Merkle tree of RFC 6962 section 2.1; the checks are those of RFC 9162 section 2.1. */
import { sha256Bytes } from './crypto.js';

export const HASH_BYTES = 32;
/** No tree of at most 2^53 leaves has a longer path. */
export const MAX_PROOF_HASHES = 64;

const LEAF = Uint8Array.of(0x00);
const NODE = Uint8Array.of(0x01);

/** MTH of a tree without leaves. */
export function emptyRoot(): Uint8Array {
  return sha256Bytes();
}

export function hashLeaf(leaf: Uint8Array): Uint8Array {
  return sha256Bytes(LEAF, leaf);
}

export function hashChildren(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256Bytes(NODE, left, right);
}

export function sameHash(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => other[index] === byte);
}

export interface InclusionClaim {
  readonly leafHash: Uint8Array;
  /** From 0. */
  readonly index: number;
  /** Leaves of the tree. */
  readonly size: number;
  readonly root: Uint8Array;
  /** PATH of RFC 6962 section 2.1.1. */
  readonly proof: readonly Uint8Array[];
}

/** Whether the leaf is at that place of the tree with this root: RFC 9162 section 2.1.3.2. */
export function provesInclusion({ leafHash, index, size, root, proof }: InclusionClaim): boolean {
  if (!isCount(index) || !isCount(size) || index >= size) return false;
  if (![leafHash, root, ...proof].every(isHash)) return false;
  let node = index;
  let last = size - 1;
  let hash = leafHash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (isOdd(node) || node === last) {
      hash = hashChildren(sibling, hash);
      while (!isOdd(node) && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      hash = hashChildren(hash, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && sameHash(hash, root);
}

export interface ConsistencyClaim {
  readonly oldSize: number;
  readonly oldRoot: Uint8Array;
  readonly newSize: number;
  readonly newRoot: Uint8Array;
  /** PROOF of RFC 6962 section 2.1.2; empty for two trees of one size. */
  readonly proof: readonly Uint8Array[];
}

/**
 * Whether the new tree has all leaves of the old one, in their places: RFC 9162 section 2.1.4.2. False for an empty old
 * tree: every tree continues it, and nothing is proven.
 */
export function provesConsistency(claim: ConsistencyClaim): boolean {
  const { oldSize, oldRoot, newSize, newRoot, proof } = claim;
  if (!isCount(oldSize) || !isCount(newSize) || oldSize > newSize || oldSize === 0) return false;
  if (oldSize === newSize) return proof.length === 0 && sameHash(oldRoot, newRoot);
  if (![oldRoot, newRoot, ...proof].every(isHash)) return false;
  const path = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : [...proof];
  const [first, ...rest] = path;
  if (first === undefined) return false;
  let node = oldSize - 1;
  let last = newSize - 1;
  while (isOdd(node)) [node, last] = [half(node), half(last)];
  let oldHash = first;
  let newHash = first;
  for (const sibling of rest) {
    if (last === 0) return false;
    if (isOdd(node) || node === last) {
      oldHash = hashChildren(sibling, oldHash);
      newHash = hashChildren(sibling, newHash);
      while (!isOdd(node) && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      newHash = hashChildren(newHash, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && sameHash(oldHash, oldRoot) && sameHash(newHash, newRoot);
}

function isHash(bytes: Uint8Array): boolean {
  return bytes.length === HASH_BYTES;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

// Not by bits: JavaScript's work on 32 of them.
function isOdd(value: number): boolean {
  return value % 2 === 1;
}

function half(value: number): number {
  return Math.floor(value / 2);
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value)) && 2 ** Math.log2(value) === value;
}
