import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';

import { processesOf } from '../backends/process/support.js';
import type { Report } from '../fixtures/process/run-command.js';

const PYTHON = '/usr/bin/python3';
const repository = join(import.meta.dirname, '../../..');
const terminalScript = join(repository, 'test/fixtures/process/terminal.py');
const announceSignals = join(repository, 'test/fixtures/process/announce-signals.py');
const runCommand = join(import.meta.dirname, '../fixtures/process/run-command.js');

type Step =
  | readonly ['expect' | 'type', string]
  | readonly ['kill', number]
  | readonly ['resize', number, number]
  | readonly ['stopped']
  | readonly ['continue'];

interface Played {
  readonly output: string;
  readonly ended: 'exited' | 'killed';
  readonly number: number;
  readonly foreground: boolean;
  readonly sameSettings: boolean;
  readonly report: Report;
}

/** Runs a shell script under `run-command` as the foreground job of a terminal. */
async function onTerminal(script: string, ...steps: Step[]): Promise<Played> {
  const directory = mkdtempSync(join(tmpdir(), 'glasshouse-test-'));
  try {
    const report = join(directory, 'report');
    const command = [process.execPath, runCommand, '/bin/sh', '-c', script];
    const { stdout } = await promisify(execFile)(
      PYTHON,
      [terminalScript, JSON.stringify(steps), ...command],
      {
        env: { PATH: process.env['PATH'], REPORT: report },
        cwd: directory,
      },
    );
    const played = JSON.parse(stdout) as Omit<Played, 'report'>;
    assert.deepEqual(readdirSync(directory), ['report'], 'no core file, nothing else');
    return { ...played, report: JSON.parse(readFileSync(report, 'utf8')) as Report };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Prints `NAME COUNT` for each of these signals, and exits with their number when a line is typed. */
function announcing(...signals: string[]): string {
  return `exec ${PYTHON} ${announceSignals} ${signals.join(' ')}`;
}

describe('on a terminal', { skip: existsSync(PYTHON) ? false : 'python3 is not installed' }, () => {
  it('the program has the terminal', { timeout: 60_000 }, async () => {
    const played = await onTerminal(
      'test -t 0 && test -t 1 && test -t 2 && echo yes > /dev/tty; cut -d " " -f 5,8 /proc/$$/stat; stty size',
      ['resize', 33, 77],
    );
    const [, groups = ''] = played.output.split('\n');
    assert.match(played.output, /^yes\n/);
    const [ownGroup, foregroundGroup] = groups.split(' ');
    assert.equal(ownGroup, foregroundGroup);
    assert.equal(played.report.terminal, true);
  });

  it('Ctrl-C arrives once', { timeout: 60_000 }, async () => {
    const played = await onTerminal(
      announcing('INT'),
      ['expect', 'ready'],
      ['type', '\x03'],
      ['expect', 'INT 1'],
      ['type', 'x\n'],
    );
    assert.deepEqual([played.ended, played.number], ['exited', 1]);
    assert.deepEqual(played.report.sent, []);
  });

  it('Ctrl-\\ arrives once and leaves no core file of ours', { timeout: 60_000 }, async () => {
    const played = await onTerminal(
      announcing('QUIT'),
      ['expect', 'ready'],
      ['type', '\x1c'],
      ['expect', 'QUIT 1'],
      ['type', 'x\n'],
    );
    assert.deepEqual([played.ended, played.number], ['exited', 1]);
    assert.deepEqual(played.report.sent, []);
  });

  for (const name of ['INT', 'TERM', 'HUP', 'QUIT'] as const) {
    it(`SIG${name} to us alone arrives once`, { timeout: 60_000 }, async () => {
      const signal = `SIG${name}` as const;
      const played = await onTerminal(
        announcing(name),
        ['expect', 'ready'],
        ['kill', constants.signals[signal]],
        ['expect', `${name} 1`],
        ['type', 'x\n'],
      );
      assert.deepEqual([played.ended, played.number], ['exited', 1]);
      assert.deepEqual(played.report.sent, [signal]);
    });
  }

  it('tells them apart again after the first', { timeout: 60_000 }, async () => {
    const played = await onTerminal(
      announcing('INT', 'TERM', 'QUIT', 'HUP'),
      ['expect', 'ready'],
      ['type', '\x03'],
      ['expect', 'INT 1'],
      ['kill', constants.signals.SIGTERM],
      ['expect', 'TERM 1'],
      ['type', '\x1c'],
      ['expect', 'QUIT 1'],
      ['kill', constants.signals.SIGHUP],
      ['expect', 'HUP 1'],
      ['type', 'x\n'],
    );
    assert.deepEqual([played.ended, played.number], ['exited', 4]);
    assert.deepEqual(played.report.sent, ['SIGTERM', 'SIGHUP']);
  });

  it('the window size arrives', { timeout: 60_000 }, async () => {
    const played = await onTerminal(
      `trap 'stty size' WINCH; echo ready; while :; do read -r _ && exit 0; done`,
      ['expect', 'ready'],
      ['resize', 44, 55],
      ['expect', '44 55'],
      ['type', 'x\n'],
    );
    assert.deepEqual([played.ended, played.number], ['exited', 0]);
  });

  it('Ctrl-Z stops the job, and it continues', { timeout: 60_000 }, async () => {
    const played = await onTerminal(
      announcing('CONT'),
      ['expect', 'ready'],
      ['type', '\x1a'],
      ['stopped'],
      ['continue'],
      ['expect', 'CONT 1'],
      ['type', 'x\n'],
    );
    assert.deepEqual([played.ended, played.number], ['exited', 1]);
  });

  it('a second Ctrl-C kills a program that goes on after the first', { timeout: 60_000 }, async () => {
    const played = await onTerminal(
      announcing('INT', 'TERM'),
      ['expect', 'ready'],
      ['type', '\x03'],
      // The kernel has sent it to the whole job, so it comes to us before what is sent to us now.
      ['expect', 'INT 1'],
      ['kill', constants.signals.SIGTERM],
      // Signals are handled in order: when this one has been passed on, the first Ctrl-C has been dealt with.
      ['expect', 'TERM 1'],
      ['type', '\x03'],
    );
    assert.deepEqual([played.ended, played.number], ['exited', 137]);
    assert.equal(played.report.killed, true);
    assert.deepEqual(played.report.sent, ['SIGTERM']);
    assert.deepEqual(processesOf(played.report.executionId), []);
  });

  it('is afterwards as it was, whatever the program did to it', { timeout: 60_000 }, async () => {
    const played = await onTerminal('stty raw -echo; kill -9 $$');
    assert.deepEqual([played.ended, played.number], ['exited', 137]);
    assert.equal(played.sameSettings, true);
    assert.equal(played.foreground, true);
  });

  it('what the program left in the background is gone', { timeout: 60_000 }, async () => {
    const played = await onTerminal('sleep 1000 & setsid sleep 1000 & echo done');
    assert.equal(played.output, 'done\n');
    assert.deepEqual(processesOf(played.report.executionId), []);
  });
});
