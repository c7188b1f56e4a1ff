import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { type Socket } from 'node:net';

import { ObserverProcess } from '../../src/profilers/ebpf/observer-process.js';
import { BUILT_DIRECTORY, HOLD } from '../../test/profilers/built.js';
import { SIZES } from '../../test/observe/observation.js';
import { median, printGoal, printSamples, type Sample } from '../measure.js';
import { timedRun } from './processes.js';
import { type Bench, glasshouse } from './watchers.js';

const TO_ATTACHED_MS = 60;
const TO_END_MS = 10;
const NS_PER_MS = 1e6;

/** What is added to a command that does nothing. */
export async function measureStart(bench: Bench): Promise<void> {
  const attached: number[] = [];
  const ended: number[] = [];
  const gone: number[] = [];
  for (let round = 0; round < 4 * bench.rounds; round += 1) {
    const times = await observeTrue();
    attached.push(times.attachedMs);
    ended.push(times.endedMs);
    gone.push(times.goneMs);
  }
  const samples: Sample[] = [
    { name: 'start of the observer to attached', values: attached },
    { name: 'end of the command to the last event', values: ended },
    { name: 'end of the command to the end of the observer', values: gone },
  ];
  printSamples('observing', samples, { name: 'the goal of attaching', values: [TO_ATTACHED_MS] });
  printGoal('from the start of the observer to attached', median(attached), TO_ATTACHED_MS, 'ms');
  printGoal('from the end of the command to detached', median(gone), TO_END_MS, 'ms');
  console.log('');
  measureWhole(bench);
}

/** One command that does nothing, held and followed as Glasshouse does it. */
async function observeTrue(): Promise<{ attachedMs: number; endedMs: number; goneMs: number }> {
  const begunAt = performance.now();
  const observer = await ObserverProcess.start(path.join(BUILT_DIRECTORY, 'observer'), SIZES, 0);
  const held = spawn(HOLD, ['3', '/bin/true', 'true'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  const exited = once(held, 'exit');
  let attachedMs = Number.NaN;
  let treeEndedNs = Number.NaN;
  let endedMs = Number.NaN;
  for await (const messages of observer.say()) {
    for (const message of messages) {
      if (message.type === 'loaded') observer.follow(held.pid ?? 0);
      if (message.type === 'attached') {
        attachedMs = performance.now() - begunAt;
        (held.stdio[3] as Socket).write('.');
      }
      if (message.type === 'process_end') treeEndedNs = message.timeNs;
      if (message.type === 'end') endedMs = millisecondsSince(treeEndedNs);
    }
  }
  const goneMs = millisecondsSince(treeEndedNs);
  await observer.end();
  await exited;
  return { attachedMs, endedMs, goneMs };
}

/** Both clocks are the kernel's monotonic one. */
function millisecondsSince(timeNs: number): number {
  return (Number(process.hrtime.bigint()) - timeNs) / NS_PER_MS;
}

/** As a person sees it: with the larger receipt, and all that Glasshouse does by itself. */
function measureWhole(bench: Bench): void {
  const ways = [
    glasshouse(bench, 'glasshouse run -- true', 'unobserved', []),
    glasshouse(bench, 'glasshouse run --profile host -- true', 'observed', ['--profile', 'host']),
  ];
  const samples = ways.map(({ name }) => ({ name, values: [] as number[] }));
  for (let round = 0; round < 2 * bench.rounds; round += 1)
    ways.forEach(({ wrap }, index) =>
      samples[index]?.values.push(timedRun(wrap(['/bin/true']), bench.directory)),
    );
  const [bare] = samples;
  if (bare !== undefined) printSamples('true', samples, bare);
}
