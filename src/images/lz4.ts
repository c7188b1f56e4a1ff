import { GlasshouseError } from '../base/errors.js';

const LEGACY_MAGIC = 0x184c2102;
/** A legacy block holds at most this many bytes once decompressed (lz4_Frame_format.md, "Legacy frame"). */
const LEGACY_BLOCK_BYTES = 8 * 1024 * 1024;
const MIN_MATCH_BYTES = 4;
const LENGTH_CONTINUES = 15;

/**
 * Decompresses an LZ4 legacy frame, the kind inside a Linux kernel image (lz4_Frame_format.md, "Legacy frame";
 * lz4_Block_format.md).
 *
 * @throws GlasshouseError `image_build_failed` when the frame is malformed or holds more than `maxOutputBytes`.
 */
export function decompressLegacyFrame(frame: Uint8Array, maxOutputBytes: number): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 4 || view.getUint32(0, true) !== LEGACY_MAGIC) throw malformed('no legacy frame');
  const blocks: Uint8Array[] = [];
  let outputBytes = 0;
  let position = 4;
  while (position < frame.length) {
    if (position + 4 > frame.length) throw malformed('a block has no size');
    const blockBytes = view.getUint32(position, true);
    position += 4;
    if (blockBytes > frame.length - position) throw malformed('a block is cut off');
    const block = decompressBlock(frame.subarray(position, position + blockBytes), LEGACY_BLOCK_BYTES);
    outputBytes += block.length;
    if (outputBytes > maxOutputBytes) throw malformed(`it holds more than ${maxOutputBytes} bytes`);
    blocks.push(block);
    position += blockBytes;
  }
  return Buffer.concat(blocks);
}

/** Decompresses one LZ4 block (lz4_Block_format.md) of at most `maxOutputBytes` decompressed bytes. */
export function decompressBlock(block: Uint8Array, maxOutputBytes: number): Uint8Array {
  const output = new Uint8Array(maxOutputBytes);
  const reader = new BlockReader(block);
  let length = 0;
  for (;;) {
    const token = reader.byte();
    const literalBytes = reader.length(token >>> 4);
    if (literalBytes > maxOutputBytes - length) throw malformed('a block decompresses to too much');
    output.set(reader.take(literalBytes), length);
    length += literalBytes;
    // The last sequence has literals only.
    if (reader.atEnd) return output.slice(0, length);
    const offset = reader.byte() | (reader.byte() << 8);
    if (offset === 0 || offset > length) throw malformed('a match points outside of the block');
    const matchBytes = reader.length(token & LENGTH_CONTINUES) + MIN_MATCH_BYTES;
    if (matchBytes > maxOutputBytes - length) throw malformed('a block decompresses to too much');
    copyMatch(output, length, offset, matchBytes);
    length += matchBytes;
  }
}

/** Copies from `offset` bytes back; where source and target overlap, the copied bytes repeat. */
function copyMatch(output: Uint8Array, at: number, offset: number, matchBytes: number): void {
  if (offset >= matchBytes) {
    output.copyWithin(at, at - offset, at - offset + matchBytes);
    return;
  }
  for (let done = 0; done < matchBytes;) {
    const step = Math.min(offset + done, matchBytes - done);
    output.copyWithin(at + done, at - offset, at - offset + step);
    done += step;
  }
}

class BlockReader {
  readonly #block: Uint8Array;
  #position = 0;

  constructor(block: Uint8Array) {
    this.#block = block;
  }

  get atEnd(): boolean {
    return this.#position === this.#block.length;
  }

  byte(): number {
    const value = this.#block[this.#position];
    if (value === undefined) throw malformed('a block ends in the middle of a sequence');
    this.#position += 1;
    return value;
  }

  /** Four bits from the token, continued by further bytes for as long as they are 255. */
  length(nibble: number): number {
    let length = nibble;
    if (nibble !== LENGTH_CONTINUES) return length;
    let next: number;
    do {
      next = this.byte();
      length += next;
    } while (next === 255);
    return length;
  }

  take(bytes: number): Uint8Array {
    if (bytes > this.#block.length - this.#position)
      throw malformed('a block ends in the middle of literals');
    const taken = this.#block.subarray(this.#position, this.#position + bytes);
    this.#position += bytes;
    return taken;
  }
}

function malformed(what: string): GlasshouseError {
  return new GlasshouseError('image_build_failed', `The LZ4 data of the kernel is malformed: ${what}.`);
}
