import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { encodeFrame } from '../../../src/base/frame.js';
import { FrameDecoder } from '../../../src/base/frame.js';
import { decodeObserverMessage } from '../../../src/profilers/ebpf/decode-message.js';
import { LinkOrder } from '../../../src/profilers/ebpf/link-order.js';
import { OBSERVER_FRAME_TYPES, type ObserverMessage } from '../../../src/profilers/ebpf/observer-message.js';
import { violation } from '../../../src/profilers/ebpf/payload-reader.js';
import { u32 } from './frames.js';
import { goldenBytes, goldenNames, goldenWords, type GoldenWords } from './golden.js';
import { read } from './support.js';

/** Names of our fields for those of the golden words. */
const NAMES: Readonly<Record<string, string>> = {
  uses: 'hooks',
  realUid: 'uid',
  effectiveUid: 'euid',
  file: 'executable',
  data: 'bytes',
  monotonic: 'timeNs',
  boottime: 'bootTimeNs',
  maxRssKib: 'maxRssKb',
  rchar: 'readBytes',
  wchar: 'writtenBytes',
  readBytes: 'storageReadBytes',
  writeBytes: 'storageWrittenBytes',
  reads: 'readCalls',
  writes: 'writeCalls',
  parentBirth: 'parentBirthNs',
  socketType: 'kind',
  local: 'own',
  arguments: 'args',
  alive: 'threadsAlive',
};

/** Every value of `words` that the message has under the same or its own name is the same. Returns how many there are. */
function assertSays(message: ObserverMessage, words: GoldenWords): number {
  const own = message as unknown as Readonly<Record<string, unknown>>;
  let compared = 0;
  const hold = (name: string, golden: unknown): void => {
    const field =
      golden !== null &&
      typeof own[name] !== 'undefined' &&
      !(name === 'file' && typeof golden === 'object') &&
      !(message.type === 'end' && name === 'readBytes') &&
      !(message.type === 'process_end' && name === 'readBytes') &&
      !(message.type === 'loaded' && name === 'monotonic')
        ? name
        : (NAMES[name] ?? name);
    const value = message.type === 'loaded' && name === 'monotonic' ? message.monotonicNs : own[field];
    if (value === undefined) return;
    compared += 1;
    assert.deepEqual(inWords(value), plain(golden), `${message.type}.${name}`);
  };
  for (const [name, golden] of Object.entries(words)) {
    if (name === 'head') {
      const head = golden as Readonly<Record<string, unknown>>;
      hold('timeNs', head['time']);
      hold('birthNs', head['birth']);
      hold('pid', head['pid']);
      hold('tid', head['tid']);
    } else hold(name, golden);
  }
  return compared;
}

function inWords(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (typeof value === 'bigint') return BigInt.asUintN(64, value).toString();
  if (Array.isArray(value)) return value.map(inWords);
  if (typeof value === 'object' && value !== null && 'flags' in value && 'bytes' in value)
    return { bytes: inWords(value.bytes), flags: String(value.flags) };
  return String(value);
}

/** Numbers in decimal; sixteen hexadecimal digits stand for what is only a name. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null && 'flags' in value && 'bytes' in value)
    return { bytes: value.bytes, flags: String(value.flags) };
  if (typeof value === 'string' && value.startsWith('-')) return BigInt.asUintN(64, BigInt(value)).toString();
  return String(value);
}

const IDENTITIES = ['file', 'socket'];

function withoutIdentities(words: GoldenWords): GoldenWords {
  const entries = Object.entries(words).filter(
    ([name, value]) => !(IDENTITIES.includes(name) && typeof value === 'string'),
  );
  return Object.fromEntries(entries) as unknown as GoldenWords;
}

describe('golden frames of the observer', () => {
  for (const name of [
    'observer-run',
    'observer-failed',
    'observer-stopped',
    'observer-extended',
    'observer-gathered',
  ]) {
    it(`${name} says what it is to say`, () => {
      const messages = read(goldenBytes(`${name}.bin`));
      const words = goldenWords(`${name}.json`);
      assert.deepEqual(
        messages.map(({ type }) => type),
        words.map(({ type }) => type),
      );
      messages.forEach((message, index) => {
        const golden = words[index];
        assert.ok(golden !== undefined);
        const compared = assertSays(message, withoutIdentities(golden));
        assert.ok(compared >= 1);
      });
    });
  }

  it('have every type there is', () => {
    const used = new Set(
      ['observer-run.json', 'observer-failed.json', 'observer-gathered.json']
        .flatMap(goldenWords)
        .map(({ type }) => type),
    );
    assert.deepEqual(
      Object.keys(OBSERVER_FRAME_TYPES).filter((type) => !used.has(type)),
      [],
    );
  });

  for (const name of goldenNames('bad-observer-')) {
    it(`${name} is refused at its last frame and not before`, () => {
      const bytes = goldenBytes(name);
      const { decoded, refusal } = readAsFarAsPossible(bytes);
      assert.equal((refusal as { code?: string } | null)?.code, 'observation_unavailable');
      assert.equal(decoded, countFrames(bytes) - 1);
    });
  }

  it('of the host are what we send', () => {
    assert.deepEqual(encodeFrame(1, 0, u32(4_100)), goldenBytes('host-follow.bin'));
  });
});

function readAsFarAsPossible(bytes: Buffer): { readonly decoded: number; readonly refusal: unknown } {
  const decoder = new FrameDecoder(violation);
  const order = new LinkOrder();
  let decoded = 0;
  try {
    for (const frame of decoder.push(bytes)) {
      order.accept(decodeObserverMessage(frame));
      decoded += 1;
    }
    decoder.end();
    return { decoded, refusal: null };
  } catch (refusal) {
    return { decoded, refusal };
  }
}

/** The number of frames in a stream, counted without judging them. */
function countFrames(bytes: Buffer): number {
  let count = 0;
  for (let offset = 0; offset < bytes.length; count += 1) offset += 12 + bytes.readUInt32LE(offset);
  return count;
}
