import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { GlasshouseError } from '../../../src/base/errors.js';
import { encodeFrame } from '../../../src/base/frame.js';
import { decodeObserverMessage } from '../../../src/profilers/ebpf/decode-message.js';
import { OBSERVER_FRAME_TYPES } from '../../../src/profilers/ebpf/observer-message.js';
import {
  addressBytes,
  ATTACHED,
  changeFrame,
  doersFrame,
  endFrame,
  execFrames,
  fileFrame,
  fileSumFrame,
  fileTotalsFrame,
  head,
  headBytes,
  inetAddress,
  LOADED,
  named,
  nameBytes,
  openFailedSumFrame,
  operandBytes,
  overFrame,
  processFrame,
  type Script,
  socketFrame,
  streamOf,
  u16,
  u32,
  u64,
} from './frames.js';
import { read } from './support.js';

const operand = { directory: named('/work'), name: named('x') };

const FAILED: Script[number] = [
  'failed',
  Buffer.concat([u32(2), u32(1), nameBytes(named('load_refused')), nameBytes(named('words'))]),
];

/** One of every type but `failed`. */
const EVERY: Script = [
  LOADED,
  ATTACHED,
  processFrame(10, null),
  ...execFrames(10, '/bin/sh', ['sh', '-c', 'x']),
  fileFrame(10, named('/etc/passwd')),
  fileTotalsFrame(10, 7, { opens: 2, read: 30, written: 0 }),
  ['open_failed', Buffer.concat([headBytes(head(10)), u32(2), u32(0), operandBytes(operand)])],
  changeFrame(10, 2, operand),
  socketFrame(10, 1, { given: inetAddress('127.0.0.1', 80) }),
  [
    'peer_totals',
    Buffer.concat([
      headBytes(head(10)),
      ...[9, 1, 2, 30, 40].map(u64),
      u16(2),
      u16(1),
      addressBytes(inetAddress('127.0.0.1', 80)),
    ]),
  ],
  ['dns', Buffer.concat([headBytes(head(10)), u64(9), addressBytes(Buffer.alloc(0)), Buffer.from('query')])],
  [
    'notable',
    Buffer.concat([
      headBytes(head(10)),
      u16(0),
      u16(101),
      u32(1),
      u64(0),
      ...Array.from({ length: 6 }, () => u64(0)),
    ]),
  ],
  doersFrame([10], 3),
  fileSumFrame(named('/lib/x'), 9, { read: 5, written: 0 }, [0, 2]),
  openFailedSumFrame(2, named('/etc/no'), [0, 1]),
  endFrame(10),
  ['heartbeat', Buffer.concat([u64(3), u64(0), u32(1)])],
  ['syscalls', Buffer.concat([u16(0), u16(0), u32(0), ...[5, 1, 0, 0].map(u64)])],
  overFrame([
    [1, 67, 1],
    [2, 71, 4],
    [3, 10, 1],
  ]),
];

const payloads = [...EVERY, FAILED].map(([type, payload]) => ({
  type: typeof type === 'number' ? type : OBSERVER_FRAME_TYPES[type],
  payload,
}));

describe('what the observer says', () => {
  it('is decoded, whatever its type', () => {
    const types = new Set(read(streamOf(EVERY)).map(({ type }) => type));
    const [failure] = read(streamOf([FAILED]));
    const decoded = [...types, failure?.type ?? ''].sort();
    assert.deepEqual(decoded, Object.keys(OBSERVER_FRAME_TYPES).sort());
  });

  it('is decoded to the values that were sent', () => {
    const messages = read(streamOf(EVERY));
    const exec = messages.find((message) => message.type === 'exec');
    assert.equal(exec?.executable.bytes.toString(), '/bin/sh');
    assert.deepEqual([exec.pid, exec.timeNs, exec.uid, exec.argvBytes], [10, 2_000_000_000, 1_000, 8]);
    const over = messages.at(-1);
    assert.ok(over?.type === 'end');
    assert.deepEqual([[...over.lost], [...over.gaps]], [[[71, 4]], [[10, 1]]]);
  });

  it('is refused when a payload ends too early, wherever that is', () => {
    const openEnded = ['loaded', 'argv', 'dns', 'end', 'syscalls', 'doers'];
    for (const { type, payload } of payloads) {
      const name = Object.entries(OBSERVER_FRAME_TYPES).find(([, number]) => number === type)?.[0] ?? '';
      if (openEnded.includes(name)) continue;
      for (let length = 0; length < payload.length; length += 1) {
        const frame = { type, sequence: 0, payload: payload.subarray(0, length) };
        assert.throws(
          () => decodeObserverMessage(frame),
          { code: 'observation_unavailable' },
          `${name} ${length}`,
        );
      }
    }
  });

  it('may have fields of a later version at the end of a payload', () => {
    for (const { type, payload } of payloads.filter(({ type }) => type === 67 || type === 70)) {
      const longer = Buffer.concat([payload, Buffer.from('later')]);
      assert.deepEqual(
        decodeObserverMessage({ type, sequence: 0, payload: longer }),
        decodeObserverMessage({ type, sequence: 0, payload }),
      );
    }
  });

  it('may have types of a later version, and none that are not the observer’s', () => {
    const frame = { type: 99, sequence: 0, payload: Buffer.alloc(3) };
    assert.deepEqual(decodeObserverMessage(frame), { type: 'unknown', number: 99 });
    assert.throws(() => decodeObserverMessage({ ...frame, type: 1 }), { code: 'observation_unavailable' });
  });

  it('is decoded or refused, but never anything else, whatever the bytes', () => {
    const types = fc.integer({ min: 60, max: 90 });
    fc.assert(
      fc.property(types, fc.uint8Array({ maxLength: 300 }), (type, payload) => {
        try {
          decodeObserverMessage({ type, sequence: 0, payload: Buffer.from(payload) });
        } catch (error) {
          assert.ok(error instanceof GlasshouseError && error.code === 'observation_unavailable');
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('keeps any bytes of a name but NUL', () => {
    const bytes = fc.uint8Array({ maxLength: 400 });
    fc.assert(
      fc.property(bytes, fc.nat(63), (path, flags) => {
        const stream = streamOf([LOADED, ATTACHED, fileFrame(10, { bytes: Buffer.from(path), flags })]);
        if (path.includes(0) || (path.length > 0 && path[0] !== 0x2f && (flags & 33) === 0)) {
          assert.throws(() => read(stream), { code: 'observation_unavailable' });
          return;
        }
        const message = read(stream).at(-1);
        assert.ok(message?.type === 'file');
        assert.deepEqual([message.path.bytes, message.path.flags], [Buffer.from(path), flags]);
      }),
    );
  });
});

describe('the order of what the observer says', () => {
  const bad: readonly (readonly [string, Script])[] = [
    ['an event before it has attached', [LOADED, processFrame(10, null)]],
    ['attached before loaded', [ATTACHED]],
    ['loaded twice', [LOADED, LOADED]],
    ['an event after the system calls', [LOADED, ATTACHED, ...EVERY.slice(-2, -1), processFrame(10, null)]],
    ['anything after the end', [LOADED, ATTACHED, overFrame(), overFrame()]],
  ];
  for (const [name, script] of bad) {
    it(`is broken by ${name}`, () => {
      assert.throws(() => read(streamOf(script)), { code: 'observation_unavailable' });
    });
  }

  it('is broken by a sequence number that is not due', () => {
    const stream = Buffer.concat([streamOf([LOADED]), encodeFrame(65, 2, ATTACHED[1])]);
    assert.throws(() => read(stream), { code: 'observation_unavailable' });
  });

  it('is kept by an observer that is stopped before it follows anything', () => {
    assert.equal(read(streamOf([LOADED, overFrame([], { treeEnded: false })])).length, 2);
  });
});
