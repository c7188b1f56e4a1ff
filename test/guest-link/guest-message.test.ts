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
import { GuestOrder, type OutputBounds } from '../../src/guest-link/guest-order.js';
import { goldenBytes, goldenMessages, goldenNames, inWords } from './golden.js';

const RUNS = ['guest-run', 'guest-clone-run', 'guest-start-failed'] as const;
const BOUNDS = { maxFiles: 1000, maxFileBytes: 64 * 1024 * 1024 };

function boundedOrder(bounds: OutputBounds = BOUNDS): GuestOrder {
  const order = new GuestOrder(false);
  order.bound(bounds);
  return order;
}

/** What is read of a stream before it ends or is refused, and why it was refused. */
function read(bytes: Buffer): { messages: GuestMessage[]; refusal: unknown } {
  const decoder = new FrameDecoder();
  const order = boundedOrder();
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
  for (const name of RUNS) {
    it(`is decoded from the golden bytes of ${name}`, () => {
      const { messages, refusal } = read(goldenBytes(`${name}.bin`));
      assert.equal(refusal, null);
      assert.deepEqual(messages.map(inWords), goldenMessages(`${name}.json`));
    });
  }

  it('uses every message that there is in the golden streams', () => {
    const used = new Set(
      RUNS.flatMap((name) => goldenMessages(`${name}.json`)).map((words) => words['type']),
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
      const order = boundedOrder();
      for (const frame of decoder.push(whole.subarray(0, length))) order.accept(decodeGuestMessage(frame));
      assert.equal(order.isOver, false);
    }
  });

  it('begins after the greeting when it comes from a clone', () => {
    const order = new GuestOrder(true);
    assert.throws(() => {
      order.accept({ type: 'hello', version: 3, uptimeNs: 1n });
    }, /waiting to start/);
    order.accept({ type: 'held' });
    order.accept({ type: 'started', uptimeNs: 1n });
  });

  it('takes a rehearsal for a whole program, of which nothing counts for the next one', () => {
    const order = new GuestOrder(true);
    const program = read(goldenBytes('guest-clone-run.bin')).messages.slice(3, 8);
    const file = {
      type: 'output_file',
      kind: 'other',
      mode: 0,
      sizeBytes: 0,
      path: Buffer.from('a'),
    } as const;
    for (const message of [...program, { type: 'rehearsed' } as const, ...program.slice(0, -1)]) {
      if (message.type === 'started') order.bound({ maxFiles: 1, maxFileBytes: 0 });
      order.accept(message);
    }
    order.accept(file);
    assert.throws(() => {
      order.accept({ type: 'rehearsed' });
    }, /collecting/);
  });

  it('delivers no file before it was said how many it may deliver', () => {
    const order = new GuestOrder(true);
    const [exited] = read(goldenBytes('guest-run.bin')).messages.filter(({ type }) => type === 'exited');
    order.accept({ type: 'started', uptimeNs: 1n });
    if (exited !== undefined) order.accept(exited);
    assert.throws(() => {
      order.accept({ type: 'output_file', kind: 'other', mode: 0, sizeBytes: 0, path: Buffer.from('a') });
    }, /too many/);
  });

  it('names no more files than allowed, and none twice', () => {
    const order = boundedOrder({ maxFiles: 2, maxFileBytes: 0 });
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
