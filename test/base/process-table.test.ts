import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import {
  hasEnded,
  hasEnvironmentEntry,
  lastPid,
  listPids,
  readProcess,
} from '../../src/base/process-table.js';

describe('the process table', () => {
  it('knows this process', () => {
    const self = readProcess('self');
    assert.equal(self?.pid, process.pid);
    assert.equal(self.parentPid, process.ppid);
    assert.equal(hasEnded(self), false);
    assert.deepEqual(readProcess(process.pid)?.startTicks, self.startTicks);
    assert.ok(listPids().includes(process.pid));
  });

  it('is not fooled by the name of a process', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'glasshouse-test-'));
    const file = join(directory, 'a) Z 1 (b');
    copyFileSync('/bin/sleep', file);
    const child = spawn(file, ['1000'], { detached: true });
    const entry = readProcess(child.pid ?? 0);
    assert.equal(entry?.parentPid, process.pid);
    assert.equal(entry.sessionId, child.pid);
    assert.equal(hasEnded(entry), false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    rmSync(directory, { recursive: true });
    assert.equal(readProcess(child.pid ?? 0), null);
  });

  it('lists the youngest first and knows the last pid', async () => {
    const before = lastPid();
    const child = spawn('sleep', ['1000']);
    assert.notEqual(lastPid(), before);
    const pids = listPids();
    assert.ok(pids.indexOf(child.pid ?? 0) < pids.indexOf(process.pid));
    child.kill('SIGKILL');
    await once(child, 'exit');
  });

  it('finds whole assignments in an environment only', async () => {
    const child = spawn('sleep', ['1000'], { env: { PATH: process.env['PATH'], A: 'x', BB: 'A=y', C: '' } });
    const entry = readProcess(child.pid ?? 0);
    assert.ok(entry !== null);
    for (const present of ['A=x', 'BB=A=y', 'C='])
      assert.equal(hasEnvironmentEntry(entry, present), true, present);
    for (const absent of ['A=y', 'A', 'A=', 'B=A=y', 'x']) {
      assert.equal(hasEnvironmentEntry(entry, absent), false, absent);
    }
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(hasEnvironmentEntry(entry, 'A=x'), false);
  });
});
