import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { runOrThrow } from '../../src/base/child-process.js';
import { GlasshouseError } from '../../src/base/errors.js';
import { decompressBlock, decompressLegacyFrame } from '../../src/images/lz4.js';
import { isInstalled } from './tools.js';

const MAX_BYTES = 64 * 1024 * 1024;

describe('decompressBlock', () => {
  it('copies literals', () => {
    assert.deepEqual(decompressed([0x30, 1, 2, 3]), [1, 2, 3]);
  });

  it('repeats what a match overlaps', () => {
    // One literal, a match of 4 + 3 bytes one byte back, and the last literals.
    assert.deepEqual(decompressed([0x13, 7, 1, 0, 0x10, 9]), [7, 7, 7, 7, 7, 7, 7, 7, 9]);
  });

  it('adds up long lengths', () => {
    const literals = Array.from({ length: 15 + 255 + 4 }, (_, index) => index % 251);
    assert.deepEqual(decompressed([0xf0, 255, 4, ...literals]), literals);
  });

  const malformed: readonly (readonly [string, readonly number[]])[] = [
    ['nothing at all', []],
    ['literals that are cut off', [0x30, 1, 2]],
    ['a length that is cut off', [0xf0, 255]],
    ['a match without its offset', [0x10, 1, 1]],
    ['a match before the beginning', [0x10, 1, 2, 0, 0x00]],
    ['a match at offset 0', [0x10, 1, 0, 0, 0x00]],
    ['a match at the very end', [0x10, 1, 1, 0]],
  ];
  for (const [what, bytes] of malformed) {
    it(`refuses ${what}`, () => {
      assert.throws(() => decompressBlock(Uint8Array.from(bytes), 100), { code: 'image_build_failed' });
    });
  }

  it('refuses more output than is allowed, by literals or by a match', () => {
    assert.throws(() => decompressBlock(Uint8Array.of(0x30, 1, 2, 3), 2), { code: 'image_build_failed' });
    assert.throws(() => decompressBlock(Uint8Array.of(0x1f, 1, 1, 0, 200, 0x00), 100), {
      code: 'image_build_failed',
    });
  });

  it('ends every byte sequence with output within bounds or a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          assert.ok(decompressBlock(bytes, 1000).length <= 1000);
        } catch (error) {
          assert.ok(error instanceof GlasshouseError, String(error));
        }
      }),
    );
  });
});

describe('decompressLegacyFrame', async () => {
  const skip = (await isInstalled('lz4')) ? false : 'lz4 is not installed';

  it('gives back what the lz4 program has compressed', { skip }, async () => {
    await fc.assert(
      fc.asyncProperty(compressible(), async (content) => {
        const frame = await compress(content);
        assert.deepEqual(Buffer.from(decompressLegacyFrame(frame, MAX_BYTES)), Buffer.from(content));
      }),
      { numRuns: 25 },
    );
  });

  it('joins the blocks of a large file', { skip }, async () => {
    const content = Buffer.alloc(20 * 1024 * 1024, 'sixteen letters ');
    assert.ok(content.equals(decompressLegacyFrame(await compress(content), MAX_BYTES)));
  });

  it('refuses more output than is allowed', { skip }, async () => {
    const frame = await compress(Buffer.alloc(1000));
    assert.throws(() => decompressLegacyFrame(frame, 999), { code: 'image_build_failed' });
  });

  it('refuses what is not a legacy frame, or cut off', () => {
    for (const hex of ['', '04224d18', '02214c1801', '02214c18ff00000001']) {
      assert.throws(() => decompressLegacyFrame(Buffer.from(hex, 'hex'), 100), {
        code: 'image_build_failed',
      });
    }
  });
});

function decompressed(block: readonly number[]): readonly number[] {
  return [...decompressBlock(Uint8Array.from(block), 1000)];
}

/** The format is made for input with repetitions, near and far. */
function compressible(): fc.Arbitrary<Uint8Array> {
  const piece = fc.record({ bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }), times: fc.nat(60) });
  return fc
    .array(piece, { maxLength: 20 })
    .map((pieces) =>
      Buffer.concat(pieces.flatMap(({ bytes, times }) => Array<Uint8Array>(times).fill(bytes))),
    );
}

async function compress(content: Uint8Array): Promise<Uint8Array> {
  return (await runOrThrow('lz4', ['-l', '-9', '-c', '-'], { stdin: content })).stdout;
}
