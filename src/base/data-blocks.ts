import { type FileHandle } from 'node:fs/promises';

export const BLOCK_BYTES = 4096;
const READ_BYTES = 1 << 20;
const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES);
const ZERO_PIECE = Buffer.alloc(READ_BYTES);

/** A block of a sparse file that is not zero. `bytes` is valid until the next one is asked for. */
export interface DataBlock {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** The blocks of a file of `sizeBytes` bytes (a multiple of BLOCK_BYTES) that are not zero, in order. */
export async function* dataBlocks(file: FileHandle, sizeBytes: number): AsyncGenerator<DataBlock, void> {
  const buffer = Buffer.alloc(READ_BYTES);
  for (let position = 0; position < sizeBytes; position += READ_BYTES) {
    const wanted = Math.min(READ_BYTES, sizeBytes - position);
    const { bytesRead } = await file.read(buffer, 0, wanted, position);
    if (buffer.subarray(0, bytesRead).equals(ZERO_PIECE.subarray(0, bytesRead))) continue;
    for (let start = 0; start + BLOCK_BYTES <= bytesRead; start += BLOCK_BYTES) {
      const bytes = buffer.subarray(start, start + BLOCK_BYTES);
      if (!bytes.equals(ZERO_BLOCK)) yield { offset: position + start, bytes };
    }
  }
}
