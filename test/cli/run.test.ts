import assert from 'node:assert/strict';
import { type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { hasEnded, readProcess } from '../../src/base/process-table.js';
import { ended, Installation, predicateOf } from './command-line.js';

function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Resolves, when `text` has appeared on stdout, to all that was read until then. */
async function said(child: ChildProcess, text: string): Promise<string> {
  const { stdout } = child;
  assert.ok(stdout !== null);
  return new Promise((resolve, reject) => {
    let seen = '';
    const look = (): void => {
      const chunk: unknown = stdout.read();
      if (!Buffer.isBuffer(chunk)) return;
      seen += chunk.toString();
      if (!seen.includes(text)) return;
      stdout.removeListener('readable', look);
      resolve(seen);
    };
    stdout.on('readable', look);
    stdout.once('end', () => {
      reject(new Error(`${text} did not appear in ${JSON.stringify(seen)}`));
    });
  });
}

/** Says that it is ready, then waits for a signal; with `trap` it says which one came and exits with 9. */
const WAITING = 'echo ready; while :; do sleep 1; done';
const TRAPPING = (name: string): string => `trap 'echo got ${name}; exit 9' ${name}; ${WAITING}`;

describe('the exit code of glasshouse run', () => {
  it("is the command's own", async () => {
    using installation = new Installation();
    for (const code of [0, 1, 2, 3, 124, 125, 255]) {
      const result = await installation.call(['run', '--', 'sh', '-c', `exit ${code}`]);
      assert.deepEqual([result.code, result.stderr], [code, '']);
      assert.equal(predicateOf(installation.receiptFile).outcome.exit_code, code);
    }
  });

  it('is 128 and the number of the signal that ended the command', async () => {
    using installation = new Installation();
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGSEGV'] as const) {
      const script = `ulimit -c 0; kill -${signal.slice(3)} $$`;
      const result = await installation.call(['run', '--', 'sh', '-c', script]);
      assert.equal(result.code, 128 + constants.signals[signal]);
      const { outcome } = predicateOf(installation.receiptFile);
      assert.deepEqual([outcome.status, outcome.exit_code, outcome.signal], ['error', null, signal]);
    }
  });

  it('is 127 for a command that does not exist and 126 for one that cannot be executed', async () => {
    using installation = new Installation();
    writeFileSync(join(installation.directory, 'text'), 'no program', { mode: 0o644 });
    for (const [command, code, error] of [
      ['no-such-command', 127, 'command_not_found'],
      ['./text', 126, 'command_not_executable'],
      ['/', 126, 'command_not_executable'],
    ] as const) {
      const result = await installation.call(['run', '--', command]);
      assert.equal(result.code, code);
      assert.match(result.stderr, /^glasshouse: /);
      assert.equal(predicateOf(installation.receiptFile).outcome.error?.code, error);
    }
  });

  it('is 2 for a command line or configuration that is wrong, and nothing is run', async () => {
    using installation = new Installation();
    const touch = ['--', 'touch', 'ran'];
    for (const args of [
      [],
      ['run'],
      ['no-such-command'],
      ['run', '--no-such-option', ...touch],
      ['run', '--timeout', 'soon', ...touch],
      ['run', '--backend', 'nowhere', ...touch],
      ['run', '--env', '1=2', ...touch],
      ['run', '--backend', 'qemu', '--file', '../outside', ...touch],
      ['run', '--default-memory-mb', 'much', ...touch],
      ['receipts', 'list', '--limit', '0'],
    ]) {
      const result = await installation.call(args);
      assert.deepEqual([result.code, result.stdout], [2, ''], args.join(' '));
      assert.notEqual(result.stderr, '');
    }
    const misspelt = { environment: { GLASSHOUSE_PROT: '1' } };
    assert.equal((await installation.call(['run', ...touch], misspelt)).code, 2);
    assert.equal(existsSync(join(installation.directory, 'ran')), false);
  });

  it('is 125 when Glasshouse itself fails', async () => {
    using installation = new Installation();
    mkdirSync(installation.dataDirectory);
    writeFileSync(join(installation.dataDirectory, 'glasshouse.db'), 'not a receipt store'.repeat(100));
    const result = await installation.call(['run', '--', 'touch', 'ran']);
    assert.equal(result.code, 125);
    assert.match(result.stderr, /^glasshouse: .*glasshouse\.db.*\[\w+\]\n$/);
    assert.equal(existsSync(join(installation.directory, 'ran')), false);
  });

  it('is 124 when the deadline passed; the receipt says so', async () => {
    using installation = new Installation();
    const result = await installation.call(['run', '--timeout', '300ms', '--', 'sh', '-c', WAITING]);
    assert.equal(result.code, 124);
    assert.match(result.stderr, /ended after 300 ms/);
    const { outcome, request } = predicateOf(installation.receiptFile);
    assert.deepEqual([outcome.status, request.timeout_ms], ['timeout', 300]);
  });
});

describe('the receipt file', () => {
  it('is written beside the run, replacing an older one as a whole', async () => {
    using installation = new Installation();
    writeFileSync(installation.receiptFile, 'something else');
    await installation.ok(['run', '--', 'true']);
    assert.equal(predicateOf(installation.receiptFile).outcome.status, 'ok');
    assert.deepEqual(readdirSync(installation.directory).sort(), ['data', 'receipt.json']);
  });

  it('goes where --receipt says, and nowhere with --no-receipt', async () => {
    using installation = new Installation();
    mkdirSync(join(installation.directory, 'sub'));
    await installation.ok(['run', '--receipt', 'sub/other.json', '--', 'true']);
    await installation.ok(['run', '--no-receipt', '--', 'true']);
    assert.deepEqual(readdirSync(installation.directory).sort(), ['data', 'sub']);
    assert.deepEqual(readdirSync(join(installation.directory, 'sub')), ['other.json']);
    const listed = JSON.parse(await installation.ok(['receipts', 'list', '--json'])) as unknown[];
    assert.equal(listed.length, 2);
  });

  it('that cannot be written is a note; the command keeps its exit code and the store the receipt', async () => {
    using installation = new Installation();
    const result = await installation.call([
      'run',
      '--receipt',
      'nowhere/r.json',
      '--',
      'sh',
      '-c',
      'echo out; exit 7',
    ]);
    assert.deepEqual([result.code, result.stdout], [7, 'out\n']);
    assert.match(result.stderr, /^glasshouse: the receipt [0-9a-f]{64} is stored but could not be written/);
    assert.equal((await installation.latest()).outcome.exit_code, 7);
  });
});

describe('what a command writes', () => {
  const bytes = 'const b = Buffer.alloc(300_001, 7); process.stdout.write(b); process.stderr.write("error")';

  it('through pipes arrives unchanged and is hashed', async () => {
    using installation = new Installation();
    const result = await installation.call(['run', '--', process.execPath, '-e', bytes]);
    assert.deepEqual([result.code, result.stderr], [0, 'error']);
    assert.deepEqual(result.stdoutBytes, Buffer.alloc(300_001, 7));
    const { artifacts } = predicateOf(installation.receiptFile);
    assert.equal(artifacts.stdout_sha256, sha256(result.stdoutBytes));
    assert.equal(artifacts.stderr_sha256, sha256('error'));
    assert.deepEqual([artifacts.stdout_bytes, artifacts.stderr_bytes], [300_001, 5]);
    assert.deepEqual([artifacts.stdout_complete, artifacts.streams_combined], [true, false]);
  });

  for (const [name, flags, before] of [
    ['written anew', 'w', ''],
    ['appended to', 'a', 'already there\n'],
  ] as const) {
    it(`to a file that is ${name} is hashed without what was there before`, async () => {
      using installation = new Installation();
      const file = join(installation.directory, 'out');
      writeFileSync(file, 'already there\n');
      const descriptor = openSync(file, flags);
      const child = installation.start(['run', '--', 'sh', '-c', 'echo one; echo two'], {
        stdio: ['ignore', descriptor, 'pipe'],
      });
      closeSync(descriptor);
      assert.equal((await ended(child)).code, 0);
      assert.equal(readFileSync(file, 'utf8'), `${before}one\ntwo\n`);
      const { artifacts } = predicateOf(installation.receiptFile);
      assert.equal(artifacts.stdout_sha256, sha256('one\ntwo\n'));
    });
  }

  it('to one pipe for both streams keeps its order', async () => {
    using installation = new Installation();
    const script = 'for i in 1 2 3 4 5 6 7 8; do echo out $i; echo err $i >&2; done';
    const result = await installation.throughShell('exec "$@" 2>&1', ['run', '--', 'sh', '-c', script]);
    const expected = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `out ${n}\nerr ${n}\n`).join('');
    assert.deepEqual([result.stdout, result.stderr], [expected, '']);
    const { artifacts } = predicateOf(installation.receiptFile);
    assert.equal(artifacts.streams_combined, true);
    assert.equal(artifacts.stdout_sha256, sha256(expected));
    assert.equal(artifacts.stderr_sha256, sha256(expected));
  });
});

describe('what a command gets', () => {
  it('is our stdin, byte for byte', async () => {
    using installation = new Installation();
    const input = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 256));
    const result = await installation.call(['run', '--', 'cat'], { stdin: input });
    assert.deepEqual(result.stdoutBytes, input);
  });

  it('is our environment and working directory, and what --env adds', async () => {
    using installation = new Installation();
    const result = await installation.call(
      [
        'run',
        '--env',
        'ADDED=a=b',
        '--env',
        'CHANGED=new',
        '--',
        'sh',
        '-c',
        'echo $OURS $ADDED $CHANGED; pwd',
      ],
      { environment: { OURS: 'ours', CHANGED: 'old' } },
    );
    assert.equal(result.stdout, `ours a=b new\n${installation.directory}\n`);
  });

  it('is every argument as it is, options too', async () => {
    using installation = new Installation();
    const args = ['--timeout', '1', '', 'a b', '--', '$HOME', '\u001b[31m'];
    const result = await installation.call(['run', '--', 'printf', '%s|', ...args]);
    assert.equal(result.stdout, args.map((arg) => `${arg}|`).join(''));
    assert.deepEqual(predicateOf(installation.receiptFile).request.argv, ['printf', '%s|', ...args]);
  });
});

describe('a signal to glasshouse run', () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) {
    it(`${signal} reaches the command, which decides what to do`, async () => {
      using installation = new Installation();
      const child = installation.start(['run', '--', 'sh', '-c', TRAPPING(signal.slice(3))], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      await said(child, 'ready');
      child.kill(signal);
      const result = await ended(child);
      assert.deepEqual([result.code, result.signal], [9, null]);
      assert.match(result.stdout, new RegExp(`got ${signal.slice(3)}`));
      assert.equal(predicateOf(installation.receiptFile).outcome.exit_code, 9);
    });
  }

  it('that ends the command is its exit code, and the receipt is written', async () => {
    using installation = new Installation();
    const child = installation.start(['run', '--', 'sh', '-c', WAITING], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await said(child, 'ready');
    child.kill('SIGTERM');
    assert.equal((await ended(child)).code, 128 + constants.signals.SIGTERM);
    assert.equal(predicateOf(installation.receiptFile).outcome.signal, 'SIGTERM');
  });

  it('SIGINT a second time kills a command that ignores it', async () => {
    using installation = new Installation();
    const script = `trap 'echo refused' INT; ${WAITING}`;
    const child = installation.start(['run', '--', 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await said(child, 'ready');
    child.kill('SIGINT');
    await said(child, 'refused');
    child.kill('SIGINT');
    assert.equal((await ended(child)).code, 128 + constants.signals.SIGKILL);
  });

  it('SIGKILL leaves an execution that the next run closes as infra_error', async () => {
    using installation = new Installation();
    const child = installation.start(['run', '--', 'sh', '-c', `echo pid $$; ${WAITING}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    const pid = Number(/pid (\d+)\n/.exec(await said(child, 'ready'))?.[1]);
    child.kill('SIGKILL');
    await exited;
    assert.equal(existsSync(installation.receiptFile), false);

    await installation.ok(['run', '--no-receipt', '--', 'true']);
    const left = readProcess(pid);
    assert.ok(left === null || hasEnded(left), 'what the dead one left running is gone');
    const list = JSON.parse(await installation.ok(['receipts', 'list', '--json'])) as {
      status: string;
      receipt_id: string;
    }[];
    assert.deepEqual(list.map(({ status }) => status).sort(), ['infra_error', 'ok']);
    const dead = list.find(({ status }) => status === 'infra_error')?.receipt_id ?? '';
    const bundle = await installation.ok(['receipts', 'export', dead]);
    assert.equal((await installation.call(['verify', '-'], { stdin: bundle })).code, 0);
    writeFileSync(installation.receiptFile, bundle);
    assert.equal(predicateOf(installation.receiptFile).outcome.error?.code, 'owner_died');
  });
});
