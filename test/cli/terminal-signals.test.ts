import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { readProcess } from '../../src/base/process-table.js';
import { forwardSignals } from '../../src/cli/terminal-signals.js';
import { processesOf } from '../backends/process/support.js';
import type { Report } from '../fixtures/process/run-command.js';

const runCommand = join(import.meta.dirname, '../fixtures/process/run-command.js');

/** `run-command` without a terminal, in a session of its own. */
class Running implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'glasshouse-test-'));
  readonly #child: ChildProcessByStdio<null, Readable, null>;
  readonly #ended: Promise<unknown[]>;
  #output = '';

  constructor(script: string) {
    this.#child = spawn(process.execPath, [runCommand, '/bin/sh', '-c', script], {
      env: { PATH: process.env['PATH'], REPORT: join(this.#directory, 'report') },
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    this.#ended = once(this.#child, 'close');
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get output(): string {
    return this.#output;
  }

  async expect(text: string): Promise<void> {
    while (!this.#output.includes(text)) await once(this.#child.stdout, 'data');
  }

  send(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(): Promise<{ code: unknown; report: Report }> {
    const [code] = await this.#ended;
    return { code, report: JSON.parse(readFileSync(join(this.#directory, 'report'), 'utf8')) as Report };
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true });
  }
}

async function untilState(pid: number, wanted: (state: string) => boolean): Promise<void> {
  while (!wanted(readProcess(pid)?.state ?? 'gone')) await nextTurn();
}

const TRAPS = 'for s in INT TERM HUP QUIT WINCH; do trap "echo got $s" $s; done; echo pid $$ ready';

describe('without a terminal', () => {
  it('every signal arrives once, and the second SIGINT kills', { timeout: 60_000 }, async () => {
    using running = new Running(`${TRAPS}; while :; do sleep 1000 & wait $!; done`);
    await running.expect('ready');
    for (const name of ['INT', 'TERM', 'HUP', 'QUIT', 'WINCH'] as const) {
      running.send(`SIG${name}`);
      await running.expect(`got ${name}\n`);
    }
    running.send('SIGINT');
    const { code, report } = await running.end();
    assert.equal(code, 137);
    assert.deepEqual(report.sent, ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGWINCH']);
    assert.equal(report.killed, true);
    assert.equal(report.terminal, false);
    assert.equal(running.output.match(/got/g)?.length, 5);
    assert.deepEqual(processesOf(report.executionId), []);
  });

  it('ends with the signal that ended the program', { timeout: 60_000 }, async () => {
    for (const [signal, code] of [
      ['SIGHUP', 129],
      ['SIGINT', 130],
      ['SIGQUIT', 131],
      ['SIGTERM', 143],
    ] as const) {
      using running = new Running('ulimit -c 0; echo ready; exec sleep 1000');
      await running.expect('ready');
      running.send(signal);
      assert.equal((await running.end()).code, code);
    }
  });

  it('stops and continues the program together with us', { timeout: 60_000 }, async () => {
    using running = new Running(`${TRAPS}; while :; do sleep 1000 & wait $!; done`);
    await running.expect('ready\n');
    const program = Number(/pid (\d+)/.exec(running.output)?.[1]);
    running.send('SIGTSTP');
    await untilState(running.pid, (state) => state === 'T');
    await untilState(program, (state) => state === 'T');
    running.send('SIGCONT');
    await untilState(program, (state) => state !== 'T');
    running.send('SIGTERM');
    await running.expect('got TERM\n');
    running.send('SIGINT');
    await running.expect('got INT\n');
    running.send('SIGINT');
    assert.equal((await running.end()).report.killed, true);
  });
});

describe('forwardSignals', () => {
  it('takes no signals any more when disposed of, and leaves no process', async () => {
    const names = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGWINCH', 'SIGTSTP', 'SIGCONT'] as const;
    const counts = (): number[] => names.map((name) => process.listenerCount(name));
    const before = counts();
    for (const terminal of [true, false]) {
      const forwarding = forwardSignals({
        send: () => Promise.resolve(),
        kill: () => Promise.resolve(),
        terminal,
      });
      assert.notDeepEqual(counts(), before);
      await forwarding[Symbol.asyncDispose]();
      assert.deepEqual(counts(), before);
    }
  });

  it('reports, at its end, a signal that could not be sent', async () => {
    const failure = new Error('not permitted');
    let sent: () => void = () => undefined;
    const wasSent = new Promise<void>((resolve) => (sent = resolve));
    const forwarding = forwardSignals({
      send: () => {
        sent();
        return Promise.reject(failure);
      },
      kill: () => Promise.resolve(),
      terminal: false,
    });
    // As Node.js does when the signal comes, which would not keep this test's event loop alive.
    process.emit('SIGWINCH', 'SIGWINCH');
    await wasSent;
    await assert.rejects(Promise.resolve(forwarding[Symbol.asyncDispose]()), failure);
  });
});
