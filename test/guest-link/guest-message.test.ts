import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { GlasshouseError } from '../../src/base/errors.js';
import { type Frame, FrameDecoder } from '../../src/guest-link/frame.js';
import {
  decodeGuestMessage,
  GUEST_FRAME_TYPES,
  type GuestMessage,
} from '../../src/guest-link/guest-message.js';
import { GuestOrder } from '../../src/guest-link/guest-order.js';
import { goldenBytes, goldenMessages, goldenNames, inWords } from './golden.js';

const BOUNDS = { maxFiles: 1000, maxFileBytes: 64 * 1024 * 1024 };

/** What is read of a stream before it ends or is refused, and why it was refused. */
function read(bytes: Buffer): { messages: GuestMessage[]; refusal: unknown } {
  const decoder = new FrameDecoder();
  const order = new GuestOrder(BOUNDS);
  const messages: GuestMessage[] = [];
  try {
    for (const frame of decoder.push(bytes)) {
      const message = decodeGuestMessage(frame);
      order.accept(message);
      messages.push(message);
    }
    decoder.end();
    return { messages, refusal: null };
  } catch (refusal) {
    return { messages, refusal };
  }
}

/** The number of frames in a stream, counted without judging them. */
function countFrames(bytes: Buffer): number {
  let count = 0;
  for (let offset = 0; offset < bytes.length; count += 1) offset += 12 + bytes.readUInt32LE(offset);
  return count;
}

describe('what a guest says', () => {
  for (const name of ['guest-run', 'guest-start-failed']) {
    it(`is decoded from the golden bytes of ${name}`, () => {
      const { messages, refusal } = read(goldenBytes(`${name}.bin`));
      assert.equal(refusal, null);
      assert.deepEqual(messages.map(inWords), goldenMessages(`${name}.json`));
    });
  }

  it('uses every message that there is in the golden streams', () => {
    const used = new Set(
      ['guest-run.json', 'guest-start-failed.json'].flatMap(goldenMessages).map((words) => words['type']),
    );
    assert.deepEqual(
      Object.keys(GUEST_FRAME_TYPES).filter((type) => !used.has(type)),
      [],
    );
  });

  for (const name of goldenNames('bad-guest-')) {
    it(`is refused at the last frame of ${name} and not before`, () => {
      const bytes = goldenBytes(name);
      const { messages, refusal } = read(bytes);
      assert.ok(refusal instanceof GlasshouseError);
      assert.equal(refusal.code, 'guest_link_violation');
      assert.equal(messages.length, countFrames(bytes) - 1);
    });
  }

  it('waits for more when it is cut off anywhere', () => {
    const whole = goldenBytes('guest-run.bin');
    for (let length = 1; length < whole.length; length += 1) {
      const decoder = new FrameDecoder();
      const order = new GuestOrder(BOUNDS);
      for (const frame of decoder.push(whole.subarray(0, length))) order.accept(decodeGuestMessage(frame));
      assert.equal(order.isOver, false);
    }
  });

  it('names no more files than allowed, and none twice', () => {
    const order = new GuestOrder({ maxFiles: 2, maxFileBytes: 0 });
    const [hello, started, , , , exited] = read(goldenBytes('guest-run.bin')).messages;
    for (const message of [hello, started, exited]) if (message !== undefined) order.accept(message);
    const file = (name: string): GuestMessage => ({
      type: 'output_file',
      kind: 'file',
      mode: 0,
      sizeBytes: 0,
      path: Buffer.from(name),
    });
    order.accept(file('a'));
    assert.throws(() => {
      order.accept(file('a'));
    }, /named twice/);
    assert.throws(() => {
      order.accept(file('b'));
      order.accept(file('c'));
    }, /too many/);
  });

  it('of random bytes is a message or a violation, and never anything else', () => {
    const types = Object.values(GUEST_FRAME_TYPES);
    fc.assert(
      fc.property(fc.constantFrom(...types), fc.uint8Array({ maxLength: 100 }), (type, bytes) => {
        const frame: Frame = { type, sequence: 0, payload: Buffer.from(bytes) };
        try {
          decodeGuestMessage(frame);
        } catch (error) {
          assert.ok(error instanceof GlasshouseError && error.code === 'guest_link_violation');
        }
      }),
      { numRuns: 2000 },
    );
  });
});
