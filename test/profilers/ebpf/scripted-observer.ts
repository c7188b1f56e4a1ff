import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { EbpfProfiler } from '../../../src/profilers/ebpf/ebpf-profiler.js';
import { FrameDecoder } from '../../../src/base/frame.js';
import { HOLD } from '../built.js';
import { type Script, streamOf } from './frames.js';

const SIZES = { ringBytes: 4096, fileRecords: 1, peerRecords: 1, argvBytes: 0 };

export interface Behaviour {
  /** Said at once. */
  readonly before: Script;
  /** Said when it has been told whom to follow. */
  readonly after: Script;
  /** What it then does. `hang`: nothing, and does not listen either. */
  readonly then: 'exit' | 'crash' | 'hang' | 'wait_for_stop';
  /** Said when it is told to stop. */
  readonly last?: Script;
}

/**
 * A profiler over an observer that says what it is told to: for what an honest one never does. `hold` is the real
 * one where `withHold` says so.
 */
export function scriptedProfiler(directory: string, behaviour: Behaviour, withHold = false): EbpfProfiler {
  mkdirSync(directory, { recursive: true });
  const hold = join(directory, 'hold');
  if (withHold) copyFileSync(HOLD, hold);
  else writeFileSync(hold, '');
  chmodSync(hold, 0o755);
  const observer = join(directory, 'observer');
  writeFileSync(observer, programOf(behaviour));
  chmodSync(observer, 0o755);
  return new EbpfProfiler({ directory, sizes: SIZES });
}

/** Sequence numbers go on from one part to the next. */
function programOf({ before, after, then, last = [] }: Behaviour): string {
  const [first, second, third] = cut(
    [before.length, after.length, last.length],
    streamOf([...before, ...after, ...last]),
  );
  const endings: Readonly<Record<Behaviour['then'], string>> = {
    exit: 'process.exit(0);',
    crash: "process.stderr.write('it broke\\n'); process.kill(process.pid, 'SIGKILL');",
    hang: 'process.stdin.pause(); setInterval(() => {}, 1000);',
    wait_for_stop: `process.stdin.on('end', () => say('${third}', () => process.exit(0)));`,
  };
  return `#!${process.execPath}
const say = (hex, then) => process.stdout.write(Buffer.from(hex, 'hex'), then);
say('${first}', () => {});
process.stdin.once('data', () => say('${second}', () => { ${endings[then]} }));
`;
}

/** The bytes of so many frames each, in hexadecimal. */
function cut(counts: readonly number[], stream: Buffer): string[] {
  const decoder = new FrameDecoder((message) => {
    throw new Error(message);
  });
  const lengths = [...decoder.push(stream)].map(({ payload }) => 12 + payload.length);
  let at = 0;
  return counts.map((count) => {
    const length = lengths.splice(0, count).reduce((sum, one) => sum + one, 0);
    const part = stream.subarray(at, at + length).toString('hex');
    at += length;
    return part;
  });
}
