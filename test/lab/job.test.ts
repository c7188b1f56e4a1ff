import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { jobScript } from './job.js';

const REPOSITORY = new URL('../../../', import.meta.url);

function run(script: string): { readonly status: number | null; readonly stdout: string } {
  const { status, stdout } = spawnSync('sh', ['-c', script], { cwd: REPOSITORY, encoding: 'utf8' });
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
    const { status, stdout } = run(script);
    const words = stdout.trimEnd().split('\n');
    assert.equal(status, 0);
    assert.deepEqual(words.slice(0, 3), ['--test', '--test-concurrency=1', '--test-timeout=900000']);
    assert.deepEqual(words.slice(-files.length), files);
  });

  it('fails when a test of the lab alone is skipped', () => {
    const directory = mkdtempSync(join(tmpdir(), 'glasshouse-lab-job-'));
    const skipped = "require('node:test').describe('all of it', { skip: 'no kvm' }, () => {});";
    // As the contract is, which several test files share.
    writeFileSync(join(directory, 'contract.js'), skipped);
    writeFileSync(join(directory, 'some.lab.test.js'), "require('./contract.js');");
    writeFileSync(join(directory, 'some.test.js'), "require('./contract.js');");
    const runTest = (name: string): ReturnType<typeof run> =>
      // Node.js would take itself for a part of the run that this test is in.
      run(`unset NODE_TEST_CONTEXT\n${jobScript({ kind: 'tests', files: [join(directory, name)] }, [])}`);
    assert.equal(runTest('some.lab.test.js').status, 1);
    assert.equal(runTest('some.test.js').status, 0);
    rmSync(directory, { recursive: true });
  });
});
