import { printSamples } from '../measure.js';
import { makeStorm } from './loads.js';
import { ObservedCommand } from './observed-command.js';
import { timedRun } from './processes.js';
import { type Bench } from './watchers.js';

/** What others pay: the storm, unobserved, while something else is observed. */
export async function measureBystander(bench: Bench): Promise<void> {
  const storm = makeStorm(bench.directory);
  const alone = { name: 'nobody is observed', values: [] as number[] };
  const beside = { name: 'somebody else is', values: [] as number[] };
  for (let round = 0; round < bench.rounds; round += 1) {
    alone.values.push(timedRun([storm], bench.directory));
    await using _observed = await ObservedCommand.start(bench, ['/bin/sh', '-c', 'echo; exec cat']);
    beside.values.push(timedRun([storm], bench.directory));
  }
  printSamples('a storm of system calls by an unrelated process', [alone, beside], alone);
}
