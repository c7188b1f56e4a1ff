import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import {
  emptyRoot,
  hashChildren,
  hashLeaf,
  provesConsistency,
  provesInclusion,
} from '../../src/receipts/merkle.js';
import { consistencyProof, inclusionProof, rootOf, storedPosition } from '../../src/receipts/merkle-tree.js';
import { encodeLogEntry } from '../../src/receipts/log-entry.js';
import { MemoryLog } from './sample-log.js';

interface Vectors {
  readonly hashes: readonly string[];
  readonly inclusion: readonly {
    readonly name: string;
    readonly index: string;
    readonly size: string;
    readonly root: number;
    readonly leaf: number;
    readonly proof: readonly number[];
    readonly valid: boolean;
  }[];
  readonly consistency: readonly {
    readonly name: string;
    readonly old_size: string;
    readonly new_size: string;
    readonly old_root: number;
    readonly new_root: number;
    readonly proof: readonly number[];
    readonly valid: boolean;
  }[];
}

const vectors = JSON.parse(readFileSync('test/fixtures/receipts/rfc6962-proofs.json', 'utf8')) as Vectors;
const hashAt = (place: number): Uint8Array => Buffer.from(vectors.hashes[place] ?? '', 'hex');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('hashes of RFC 6962', () => {
  it('have those of the empty tree, the empty leaf and an empty node that are published', () => {
    assert.equal(hex(emptyRoot()), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    assert.equal(
      hex(hashLeaf(new Uint8Array())),
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    );
    // A node must not be mistaken for the leaf that has its bytes.
    const both = Buffer.concat([emptyRoot(), emptyRoot()]);
    assert.notEqual(hex(hashChildren(emptyRoot(), emptyRoot())), hex(hashLeaf(both)));
  });
});

describe('proofs of RFC 6962: the published vectors', () => {
  for (const { name, index, size, root, leaf, proof, valid } of vectors.inclusion)
    it(`inclusion ${valid ? 'accepts' : 'refuses'} ${name}`, () => {
      const claim = {
        leafHash: hashAt(leaf),
        index: Number(index),
        size: Number(size),
        root: hashAt(root),
        proof: proof.map(hashAt),
      };
      assert.equal(provesInclusion(claim), valid);
    });

  for (const { name, old_size, new_size, old_root, new_root, proof, valid } of vectors.consistency)
    it(`consistency ${valid ? 'accepts' : 'refuses'} ${name}`, () => {
      const claim = {
        oldSize: Number(old_size),
        newSize: Number(new_size),
        oldRoot: hashAt(old_root),
        newRoot: hashAt(new_root),
        proof: proof.map(hashAt),
      };
      assert.equal(provesConsistency(claim), valid);
    });
});

describe('proofs of RFC 6962: our own', () => {
  const SIZE = 40;
  const log = new MemoryLog().fill(SIZE);
  const leaf = (index: number): Uint8Array => {
    const entry = log.entries[index];
    assert.ok(entry !== undefined);
    return hashLeaf(encodeLogEntry(entry));
  };

  it('of inclusion hold for every entry of every size, and for no other index, size or leaf', () => {
    for (let size = 1; size <= SIZE; size += 1) {
      const root = rootOf(size, log.read);
      for (let index = 0; index < size; index += 1) {
        const claim = {
          leafHash: leaf(index),
          index,
          size,
          root,
          proof: inclusionProof(index, size, log.read),
        };
        assert.ok(provesInclusion(claim), `${index} of ${size}`);
        assert.ok(!provesInclusion({ ...claim, index: index + 1 }));
        assert.ok(!provesInclusion({ ...claim, leafHash: leaf((index + 1) % SIZE) }));
        assert.ok(!provesInclusion({ ...claim, proof: [...claim.proof, root] }));
        assert.ok(!provesInclusion({ ...claim, root: rootOf(size - 1, log.read) }));
      }
    }
  });

  it('of consistency hold between any two sizes, and for no other root', () => {
    for (let newSize = 1; newSize <= SIZE; newSize += 1)
      for (let oldSize = 1; oldSize <= newSize; oldSize += 1) {
        const claim = {
          oldSize,
          newSize,
          oldRoot: rootOf(oldSize, log.read),
          newRoot: rootOf(newSize, log.read),
          proof: consistencyProof(oldSize, newSize, log.read),
        };
        assert.ok(provesConsistency(claim), `${oldSize} to ${newSize}`);
        assert.ok(!provesConsistency({ ...claim, oldRoot: hashLeaf(claim.oldRoot) }));
        assert.ok(!provesConsistency({ ...claim, newRoot: hashLeaf(claim.newRoot) }));
        assert.ok(!provesConsistency({ ...claim, proof: [...claim.proof, claim.oldRoot] }));
      }
  });

  it('do not hold after one bit of one hash was changed', () => {
    const bit = fc.record({
      size: fc.integer({ min: 2, max: SIZE }),
      part: fc.nat(),
      at: fc.nat(255),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(bit, ({ size, part, at, pick }) => {
        const index = pick % size;
        const proof = inclusionProof(index, size, log.read).map((hash) => Uint8Array.from(hash));
        const hash = proof[part % proof.length];
        assert.ok(hash !== undefined);
        hash[at >> 3] = (hash[at >> 3] ?? 0) ^ (1 << (at & 7));
        const root = rootOf(size, log.read);
        assert.ok(!provesInclusion({ leafHash: leaf(index), index, size, root, proof }));
      }),
    );
  });

  it('are refused for what is no count, in bounded time', () => {
    const root = emptyRoot();
    for (const number of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      assert.ok(!provesInclusion({ leafHash: root, index: number, size: 1, root, proof: [] }));
      assert.ok(!provesInclusion({ leafHash: root, index: 0, size: number, root, proof: [] }));
      const claim = { oldSize: 1, newSize: 1, oldRoot: root, newRoot: root, proof: [] };
      assert.ok(!provesConsistency({ ...claim, oldSize: number }));
      assert.ok(!provesConsistency({ ...claim, newSize: number }));
    }
    const huge = { leafHash: root, index: 2 ** 53 - 2, size: 2 ** 53 - 1, root };
    assert.ok(!provesInclusion({ ...huge, proof: Array<Uint8Array>(64).fill(root) }));
  });

  it('are stored in the order in which they become known', () => {
    const places = new Set<number>();
    for (let index = 0; index < 64; index += 1)
      for (let level = 0; (index + 1) % 2 ** level === 0; level += 1)
        places.add(storedPosition(level, (index + 1) / 2 ** level - 1));
    assert.deepEqual(
      [...places],
      Array.from({ length: places.size }, (_, place) => place),
    );
  });
});
