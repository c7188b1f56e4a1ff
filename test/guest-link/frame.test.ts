import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { GlasshouseError } from '../../src/base/errors.js';
import {
  encodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_MAX_PAYLOAD,
  type Frame,
  FrameDecoder,
} from '../../src/guest-link/frame.js';

const isViolation = (error: unknown): boolean =>
  error instanceof GlasshouseError && error.code === 'guest_link_violation';

/** Decodes `bytes` cut into pieces of the given lengths, over and over. */
function decodeInPieces(bytes: Buffer, lengths: readonly number[]): Frame[] {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  for (let offset = 0, index = 0; offset < bytes.length; index += 1) {
    const length = lengths[index % lengths.length] ?? 1;
    frames.push(...decoder.push(bytes.subarray(offset, offset + length)));
    offset += length;
  }
  decoder.end();
  return frames;
}

describe('a frame', () => {
  it('comes out as it went in, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(0xffff), fc.uint8Array({ maxLength: 300 })), { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }),
        (contents, lengths) => {
          const bytes = Buffer.concat(
            contents.map(([type, payload], index) => encodeFrame(type, index, payload)),
          );
          const frames = decodeInPieces(bytes, lengths);
          assert.deepEqual(
            frames.map(({ type, payload }) => [type, Buffer.from(payload)]),
            contents.map(([type, payload]) => [type, Buffer.from(payload)]),
          );
        },
      ),
    );
  });

  it('may have the longest payload and not one byte more', () => {
    const longest = encodeFrame(67, 0, Buffer.alloc(FRAME_MAX_PAYLOAD));
    assert.equal([...new FrameDecoder().push(longest)].length, 1);
    assert.throws(() => encodeFrame(67, 0, Buffer.alloc(FRAME_MAX_PAYLOAD + 1)), GlasshouseError);
    const header = longest.subarray(0, FRAME_HEADER_BYTES);
    header.writeUInt32LE(FRAME_MAX_PAYLOAD + 1, 0);
    assert.throws(() => [...new FrameDecoder().push(header)], isViolation);
  });

  it('is refused as soon as its header is wrong, before its payload has come', () => {
    const header = encodeFrame(67, 7, Buffer.alloc(0));
    assert.throws(() => [...new FrameDecoder().push(header)], isViolation);
  });

  it('that never ends is noticed at the end of the stream', () => {
    const decoder = new FrameDecoder();
    assert.deepEqual([...decoder.push(encodeFrame(67, 0, Buffer.from('abc')).subarray(0, -1))], []);
    assert.throws(() => {
      decoder.end();
    }, isViolation);
  });

  it('of random bytes is a frame or a violation, and never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        try {
          for (const frame of new FrameDecoder().push(bytes))
            assert.ok(frame.payload.length <= FRAME_MAX_PAYLOAD);
        } catch (error) {
          assert.ok(isViolation(error));
        }
      }),
    );
  });
});
