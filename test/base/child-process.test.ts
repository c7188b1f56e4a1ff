import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { runOrThrow, runToCompletion } from '../../src/base/child-process.js';

/** Ends a test in which something is waited for that never comes. */
const HANG_MS = 30_000;

describe('runToCompletion', () => {
  it('gives the exit code and both streams', async () => {
    const completed = await runToCompletion('sh', ['-c', 'echo out; echo err >&2; exit 3']);
    assert.deepEqual(completed, {
      exitCode: 3,
      signal: null,
      stdout: Buffer.from('out\n'),
      stderr: Buffer.from('err\n'),
    });
  });

  it('gives the signal that ended the child', async () => {
    const { exitCode, signal } = await runToCompletion('sh', ['-c', 'kill -KILL $$']);
    assert.deepEqual({ exitCode, signal }, { exitCode: null, signal: 'SIGKILL' });
  });

  it('passes arguments on without a shell', async () => {
    const { stdout } = await runToCompletion('printf', ['%s', '$HOME; `id` "x"']);
    assert.equal(stdout.toString(), '$HOME; `id` "x"');
  });

  it('feeds standard input and closes it', async () => {
    const { stdout } = await runToCompletion('cat', [], { stdin: Buffer.from('fed') });
    assert.equal(stdout.toString(), 'fed');
  });

  it('closes standard input at once when there is none', async () => {
    const { stdout } = await runToCompletion('cat', []);
    assert.equal(stdout.length, 0);
  });

  it('survives a child that does not read its input', async () => {
    const { exitCode } = await runToCompletion('true', [], { stdin: Buffer.alloc(4 * 1024 * 1024) });
    assert.equal(exitCode, 0);
  });

  it('gives the child only the environment and directory it is told', async () => {
    const environment = { PATH: process.env['PATH'], ONLY: 'this' };
    const { stdout } = await runToCompletion('sh', ['-c', 'echo "$ONLY $HOME $(pwd)"'], {
      env: environment,
      cwd: '/',
    });
    assert.equal(stdout.toString(), 'this  /\n');
  });

  it('refuses a program that is not installed', async () => {
    await assert.rejects(runToCompletion('glasshouse-no-such-tool', []), { code: 'tool_missing' });
  });

  it('refuses a program that cannot be executed', async () => {
    await assert.rejects(runToCompletion('/etc/passwd', []), { code: 'tool_failed' });
  });

  it('ends a child that writes too much', async () => {
    await assert.rejects(runToCompletion('yes', [], { maxOutputBytes: 1000 }), { code: 'tool_failed' });
  });

  it('ends a child that takes too long', async () => {
    await assert.rejects(runToCompletion('sleep', ['1000'], { timeoutMs: 20 }), { code: 'tool_failed' });
  });

  it('ends a child, and what it started, when canceled', { timeout: HANG_MS }, async () => {
    await withFifo(async (fifo) => {
      const controller = new AbortController();
      const script = 'exec 3>"$0"; sleep 1000 & echo started >&3; wait';
      const run = runToCompletion('sh', ['-c', script, fifo], { signal: controller.signal });
      const canceled = assert.rejects(run, { code: 'canceled' });
      // Reading ends when the last process that has the pipe open has ended.
      for await (const chunk of createReadStream(fifo)) {
        assert.equal(String(chunk), 'started\n');
        controller.abort();
      }
      await canceled;
    });
  });

  it('does not start when already canceled', async () => {
    await assert.rejects(runToCompletion('sleep', ['1000'], { signal: AbortSignal.abort() }), {
      code: 'canceled',
    });
  });

  it(
    'does not wait for a grandchild that keeps the pipes open, and ends it',
    { timeout: HANG_MS },
    async () => {
      await withFifo(async (fifo) => {
        const reading = readFile(fifo);
        const { exitCode } = await runToCompletion('sh', ['-c', 'exec 3>"$0"; sleep 1000 &', fifo]);
        assert.equal(exitCode, 0);
        await reading;
      });
    },
  );
});

describe('runOrThrow', () => {
  it('reports the end of what a failed tool said', async () => {
    await assert.rejects(runOrThrow('sh', ['-c', 'echo reason >&2; exit 1']), {
      code: 'tool_failed',
      message: /exit code 1: reason/,
    });
  });
});

async function withFifo(use: (path: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'glasshouse-child-process-'));
  try {
    const path = join(directory, 'fifo');
    await runOrThrow('mkfifo', [path]);
    await use(path);
  } finally {
    await rm(directory, { recursive: true });
  }
}
