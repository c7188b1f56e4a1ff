import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { GlasshouseError } from '../../src/base/errors.js';
import { encodeFrame } from '../../src/guest-link/frame.js';
import { encodeHostMessage, HOST_FRAME_TYPES, type HostMessage } from '../../src/guest-link/host-message.js';
import { goldenBytes, goldenMessages } from './golden.js';

const RUNS = ['host-run', 'host-clone-run'] as const;

function fromWords(words: Record<string, unknown>): HostMessage {
  const bytes = typeof words['bytes'] === 'string' ? { bytes: Buffer.from(words['bytes'], 'hex') } : {};
  const clock = typeof words['nanoseconds'] === 'string' ? { nanoseconds: BigInt(words['nanoseconds']) } : {};
  return { ...words, ...bytes, ...clock } as HostMessage;
}

describe('what the host says', () => {
  for (const name of RUNS) {
    it(`is encoded to the golden bytes of ${name}`, () => {
      const frames = goldenMessages(`${name}.json`).map((words, sequence) => {
        const message = fromWords(words);
        return encodeFrame(HOST_FRAME_TYPES[message.type], sequence, encodeHostMessage(message));
      });
      assert.deepEqual(Buffer.concat(frames), goldenBytes(`${name}.bin`));
    });
  }

  it('uses every message that there is in the golden runs', () => {
    const used = new Set(
      RUNS.flatMap((name) => goldenMessages(`${name}.json`)).map((words) => words['type']),
    );
    assert.deepEqual(
      Object.keys(HOST_FRAME_TYPES).filter((type) => !used.has(type)),
      [],
    );
  });

  it('never carries a NUL inside a string', () => {
    for (const message of [
      { type: 'argument', value: 'a\0b' },
      { type: 'environment', name: 'A', value: '\0' },
      { type: 'file', mode: 0o644, sizeBytes: 0, path: 'a\0' },
    ] as const) {
      assert.throws(() => encodeHostMessage(message), GlasshouseError);
    }
  });
});
