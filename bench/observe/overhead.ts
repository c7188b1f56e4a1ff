import { median, printSamples, type Sample } from '../measure.js';
import { type Load } from './loads.js';
import { run, timedRun } from './processes.js';
import { type Bench, lastRun, type Watcher, watchersOf } from './watchers.js';

type Series = Sample & { values: number[] };

/** The same command bare and under each watcher, in turns, so that whatever else the machine does hits all of them. */
export function measureOverhead(bench: Bench, load: Load): void {
  const watchers = watchersOf(bench);
  const whole = new Map<Watcher, Series>(watchers.map((watcher) => [watcher, series(watcher.name)]));
  const running = new Map([
    ['unobserved', series('... while it ran')],
    ['observed', series('... while it ran')],
  ]);
  const dropped = new Set<string>();
  for (let round = 0; round < bench.rounds; round += 1) {
    for (const watcher of inTurn(watchers, round)) {
      if (watcher.kind === 'strace' && round >= load.straceRounds) continue;
      run(['/bin/sh', '-c', load.prepare], bench.directory);
      whole.get(watcher)?.values.push(timedRun(watcher.wrap(load.argv), bench.directory));
      const own = running.get(watcher.kind);
      if (own === undefined) continue;
      own.values.push(lastRun(bench).timing.run_ms);
      if (watcher.kind === 'observed') dropped.add(dropsIn(bench));
    }
  }
  print(load, watchers, whole, running, dropped);
}

function print(
  load: Load,
  watchers: readonly Watcher[],
  whole: ReadonlyMap<Watcher, Series>,
  running: ReadonlyMap<string, Series>,
  dropped: ReadonlySet<string>,
): void {
  const rows = watchers.flatMap((watcher) =>
    [whole.get(watcher), running.get(watcher.kind)].filter((row) => row !== undefined),
  );
  const [bare] = rows;
  const observed = running.get('observed');
  if (bare === undefined || observed === undefined) return;
  printSamples(load.heading, rows, bare);
  const ratio = median(observed.values) / median(bare.values);
  const verdict = ratio <= load.goal ? 'reached' : 'NOT reached';
  console.log(
    `goal: ${load.heading}, observed, while it ran: ${ratio.toFixed(3)}x (at most ${load.goal}x) - ${verdict}`,
  );
  console.log(`dropped: ${[...dropped].join('; ')}\n`);
  if ([...dropped].some((drops) => drops !== '{}')) process.exitCode = 1;
}

/** Every other round backwards: nobody always runs after the same one. */
function inTurn<Item>(items: readonly Item[], round: number): readonly Item[] {
  return round % 2 === 0 ? items : items.toReversed();
}

function dropsIn(bench: Bench): string {
  const { observation } = lastRun(bench);
  return observation.level === 'none' ? observation.reason : JSON.stringify(observation.dropped);
}

function series(name: string): Series {
  return { name, values: [] };
}
