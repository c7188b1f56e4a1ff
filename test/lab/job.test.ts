import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

import { jobScript } from './job.js';

function run(script: string): { readonly status: number | null; readonly stdout: string } {
  const { status, stdout } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
  return { status, stdout };
}

describe('the job of the lab', () => {
  it('runs a command of the shell as it was typed, with its exit code', () => {
    const script = jobScript({ kind: 'shell', command: 'echo "$A b"; exit 7' }, ['A=a']);
    assert.deepEqual(run(script), { status: 7, stdout: 'a b\n' });
  });

  it('names each test file to Node.js, one at a time, whatever is in the name', () => {
    const files = ['dist/test/a.lab.test.js', "dist/it's $HOME.test.js"];
    // In place of Node.js, a function that prints its arguments.
    const script = jobScript({ kind: 'tests', files }, ['node() { printf "%s\\n" "$@"; }']).replace(
      'exec ',
      '',
    );
    const words = ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files];
    assert.deepEqual(run(script), { status: 0, stdout: `${words.join('\n')}\n` });
  });
});
