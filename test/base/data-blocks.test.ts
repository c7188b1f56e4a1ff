import assert from 'node:assert/strict';
import { type FileHandle } from 'node:fs/promises';
import { after, describe, it } from 'node:test';

import fc from 'fast-check';

import { openAnonymousFile } from '../../src/base/anonymous-file.js';
import { BLOCK_BYTES, dataBlocks } from '../../src/base/data-blocks.js';
import { ScratchDirectory } from '../contract/subject.js';

const MIB = 1024 * 1024;
const scratch = new ScratchDirectory();

after(() => {
  scratch[Symbol.dispose]();
});

/** Offset and first byte of every block that is given. */
async function blocksOf(file: FileHandle, sizeBytes: number): Promise<[number, number][]> {
  const blocks: [number, number][] = [];
  for await (const { offset, bytes } of dataBlocks(file, sizeBytes)) {
    assert.equal(bytes.length, BLOCK_BYTES);
    blocks.push([offset, bytes.find((byte) => byte !== 0) ?? 0]);
  }
  return blocks;
}

describe('the data blocks of a file', () => {
  it('are those that are not zero, in order, wherever they are', async () => {
    const block = fc.record({
      index: fc.nat((3 * MIB) / BLOCK_BYTES - 1),
      within: fc.nat(BLOCK_BYTES - 1),
      byte: fc.integer({ min: 1, max: 255 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(block, { selector: ({ index }) => index, maxLength: 12 }),
        async (blocks) => {
          await using file = await openAnonymousFile(scratch.path);
          await file.truncate(3 * MIB);
          for (const { index, within, byte } of blocks)
            await file.write(Buffer.from([byte]), 0, 1, index * BLOCK_BYTES + within);
          const expected = blocks
            .map(({ index, byte }): [number, number] => [index * BLOCK_BYTES, byte])
            .sort(([one], [other]) => one - other);
          assert.deepEqual(await blocksOf(file, 3 * MIB), expected);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('do not include zeros that were written, nor what lies beyond the size', async () => {
    await using file = await openAnonymousFile(scratch.path);
    await file.write(Buffer.alloc(8 * BLOCK_BYTES), 0, 8 * BLOCK_BYTES, 0);
    await file.write(Buffer.from([7]), 0, 1, 4 * BLOCK_BYTES);
    assert.deepEqual(await blocksOf(file, 8 * BLOCK_BYTES), [[4 * BLOCK_BYTES, 7]]);
    assert.deepEqual(await blocksOf(file, 4 * BLOCK_BYTES), []);
  });

  it('end where a file is shorter than it should be', async () => {
    await using file = await openAnonymousFile(scratch.path);
    await file.write(Buffer.alloc(BLOCK_BYTES + 1, 1), 0, BLOCK_BYTES + 1, 0);
    assert.deepEqual(await blocksOf(file, 4 * MIB), [[0, 1]]);
  });
});
