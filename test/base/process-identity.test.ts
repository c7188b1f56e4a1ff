import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { isAlive, parseProcessStat, thisProcess } from '../../src/base/process-identity.js';

function identityOf(pid: number): ReturnType<typeof thisProcess> {
  const { startTicks } = parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  return { ...thisProcess(), pid, startTicks };
}

function stateOf(pid: number): string {
  return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1')).state;
}

describe('process identity', () => {
  it('names the calling process, which is alive', () => {
    const identity = thisProcess();
    assert.equal(identity.pid, process.pid);
    assert.match(identity.bootId, /^[0-9a-f-]{36}$/);
    assert.ok(identity.startTicks > 0);
    assert.equal(isAlive(identity), true);
    assert.deepEqual(thisProcess(), identity);
  });

  it('tells a process that has taken over a pid from the one that had it before', () => {
    const identity = thisProcess();
    assert.equal(isAlive({ ...identity, startTicks: identity.startTicks - 1 }), false);
  });

  it('counts every process of an earlier boot as ended', () => {
    assert.equal(isAlive({ ...thisProcess(), bootId: '00000000-0000-0000-0000-000000000000' }), false);
  });

  it('sees a child live, and end', async () => {
    const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
    await once(child, 'spawn');
    assert.ok(child.pid !== undefined);
    const identity = identityOf(child.pid);
    assert.equal(isAlive(identity), true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(isAlive(identity), false);
  });

  it('counts a zombie as ended', async () => {
    // The shell starts a child that ends with its descriptor 3, and becomes a cat, which never waits for children.
    const parent = spawn('sh', ['-c', 'read line <&3 & echo $!; exec cat'], {
      stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
    });
    const { stdin, stdout } = parent;
    assert.ok(stdin !== null && stdout !== null);
    try {
      const [line] = (await once(stdout, 'data')) as [Buffer];
      const zombie = identityOf(Number(line.toString()));
      assert.equal(isAlive(zombie), true);
      stdin.write('is it a cat yet?');
      await once(stdout, 'data');
      (parent.stdio[3] as Writable).end();
      while (stateOf(zombie.pid) !== 'Z') await setImmediate();
      assert.equal(isAlive(zombie), false);
    } finally {
      stdin.end();
      await once(parent, 'exit');
    }
  });

  it('finds the fields behind a command name with spaces and parentheses', () => {
    const fields = Array.from({ length: 50 }, (_, index) => String(index + 4));
    assert.deepEqual(parseProcessStat(`7 (a) R (b) c) S ${fields.join(' ')}\n`), {
      state: 'S',
      startTicks: 22,
    });
  });

  it('refuses a line without the fields', () => {
    assert.throws(() => parseProcessStat('7 (cat) S 1 2'), /documented fields/);
    assert.throws(() => parseProcessStat(''), /documented fields/);
  });
});
