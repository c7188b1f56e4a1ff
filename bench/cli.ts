import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { median, printGoal, printSamples, type Sample, timed } from './measure.js';

/** `glasshouse run -- true` beside plain `true` and beside `node -e 0`, taken in turns. */
export async function benchCli(main: string, runs: number): Promise<void> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'glasshouse-bench-'));
  const commands: Readonly<Record<string, readonly [string, ...string[]]>> = {
    true: ['true'],
    'node -e 0': [process.execPath, '-e', '0'],
    'glasshouse run -- true': [
      process.execPath,
      main,
      'run',
      '--no-receipt',
      '--data-dir',
      directory,
      '--',
      'true',
    ],
  };
  try {
    const samples = Object.keys(commands).map((name): Sample & { values: number[] } => ({
      name,
      values: [],
    }));
    for (let run = -1; run < runs; run += 1) {
      for (const sample of samples) {
        const elapsed = await timed(() => execute(commands[sample.name] ?? ['false'], directory));
        // The first round warms caches and makes the key.
        if (run >= 0) sample.values.push(elapsed);
      }
    }
    const [, node, glasshouse] = samples;
    if (node === undefined || glasshouse === undefined) return;
    printSamples('command', samples, node);
    printGoal('glasshouse run beyond node -e 0', median(glasshouse.values) - median(node.values), 60, 'ms');
    console.log('');
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function execute([command, ...args]: readonly [string, ...string[]], cwd: string): Promise<void> {
  const child = spawn(command, args, { stdio: 'ignore', cwd });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`${command} ended with ${code ?? 'a signal'}`);
}
