import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { HashedStdin } from '../../src/engine/hashed-stdin.js';
import { sha256 } from '../contract/subject.js';

async function* streamOf(chunks: readonly Uint8Array[], onEnd: () => void): AsyncGenerator<Uint8Array, void> {
  try {
    for (const chunk of chunks) yield await Promise.resolve(chunk);
  } finally {
    onEnd();
  }
}

describe('hashed stdin', () => {
  it('hashes exactly what was taken, and closes its source', async () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(chunks, fc.nat(8), async (given, wanted) => {
        let closed = false;
        const stdin = new HashedStdin(streamOf(given, () => (closed = true)));
        assert.ok(typeof stdin.plan === 'object');
        const taken: Uint8Array[] = [];
        for await (const chunk of stdin.plan) {
          taken.push(chunk);
          if (taken.length > wanted) break;
        }
        assert.equal(stdin.sha256(), sha256(Buffer.concat(taken)));
        assert.equal(closed, true);
      }),
    );
  });

  it('is that of nothing when stdin is closed, and unknown when it is inherited', () => {
    assert.deepEqual(
      [new HashedStdin('closed').plan, new HashedStdin('closed').sha256()],
      ['closed', sha256(Buffer.of())],
    );
    assert.deepEqual(
      [new HashedStdin('inherit').plan, new HashedStdin('inherit').sha256()],
      ['inherit', null],
    );
  });
});
