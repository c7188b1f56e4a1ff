import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { type ExecutionHandle, type ExecutionSpec } from '../../../src/backends/backend.js';
import { MARKER_VARIABLE, killLeftovers } from '../../../src/backends/process/process-tree.js';
import {
  CollectingSink,
  ScratchDirectory,
  backend,
  isAlive,
  never,
  processesOf,
  shell,
  specFor,
} from './support.js';

const hasPython = existsSync('/usr/bin/python3');

interface Started {
  readonly spec: ExecutionSpec;
  readonly sink: CollectingSink;
  readonly handle: ExecutionHandle;
}

/** Runs a shell script until it prints "ready". */
async function startShell(script: string, ...args: string[]): Promise<Started> {
  const sink = new CollectingSink();
  const spec = specFor(['/bin/sh', '-c', script, 'sh', ...args], { sink });
  const handle = await backend.start(spec, never);
  await sink.saw('ready\n');
  return { spec, sink, handle };
}

describe('what a program leaves behind', () => {
  it('is killed when the program ends, and what it wrote before is kept', { timeout: 60_000 }, async () => {
    const { result, stdout, handle } = await shell('sleep 1000 & echo hello; exit 3');
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 3 });
    assert.equal(stdout, 'hello\n');
    assert.deepEqual(processesOf(handle.executionId), []);
  });

  it('does not hold up the end by keeping stdout open', { timeout: 60_000 }, async () => {
    const { result, stdout } = await shell('(trap "" TERM HUP; sleep 1000) & (yes > /dev/null) & echo out');
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 0 });
    assert.equal(stdout, 'out\n');
  });

  it('is found as a daemon in a session of its own', { timeout: 60_000 }, async () => {
    const { spec, sink, handle } = await startShell(
      'setsid sh -c "setsid sh -c \\"echo daemon \\\\$\\\\$; echo ready; exec sleep 1000\\" & " & wait; exec sleep 1000',
    );
    const daemon = Number(/daemon (\d+)/.exec(sink.text('stdout'))?.[1]);
    assert.ok(isAlive(daemon));
    await backend.signal(handle, 'SIGTERM');
    assert.deepEqual((await backend.wait(handle)).termination, { kind: 'signaled', signal: 'SIGTERM' });
    assert.equal(isAlive(daemon), false);
    assert.deepEqual(processesOf(spec.executionId), []);
    await backend.cleanup(handle);
  });

  it('is found by its session when it dropped its environment', { timeout: 60_000 }, async () => {
    const { sink, handle } = await startShell(
      'env -i /bin/sh -c "echo pid \\$\\$; echo ready; exec sleep 1000" & sleep 1000',
    );
    const child = Number(/pid (\d+)/.exec(sink.text('stdout'))?.[1]);
    assert.ok(isAlive(child));
    await backend.kill(handle);
    assert.equal(isAlive(child), false);
    await backend.cleanup(handle);
  });

  it('is found by its parent when it dropped environment and session', { timeout: 60_000 }, async () => {
    const { sink, handle } = await startShell(
      'env -i setsid --wait /bin/sh -c "echo pid \\$\\$; echo ready; exec sleep 1000" & wait',
    );
    const child = Number(/pid (\d+)/.exec(sink.text('stdout'))?.[1]);
    assert.ok(isAlive(child));
    await backend.kill(handle);
    assert.equal(isAlive(child), false);
    await backend.cleanup(handle);
  });

  it(
    'is found when its first thread has ended and others run on',
    { timeout: 60_000, skip: hasPython ? false : 'python3 is not installed' },
    async () => {
      // Without its first thread a process looks like a zombie. 60 and 93 are exit(2) on x86-64 and AArch64.
      const program = `
import ctypes, os, platform, threading, time
def rest():
    while open('/proc/self/stat').read().rsplit(')')[1].split()[0] != 'Z': time.sleep(0.001)
    os.write(1, b'ready\\n'); time.sleep(1000)
threading.Thread(target=rest).start()
os.write(1, b'pid %d\\n' % os.getpid())
ctypes.CDLL(None).syscall(60 if platform.machine() == 'x86_64' else 93, 0)
`;
      const { sink, handle } = await startShell('/usr/bin/python3 -c "$1" & sleep 1000', program);
      const child = Number(/pid (\d+)/.exec(sink.text('stdout'))?.[1]);
      assert.ok(isAlive(child));
      await backend.kill(handle);
      assert.equal(isAlive(child), false);
      await backend.cleanup(handle);
    },
  );

  it('is killed when it forks all the time', { timeout: 120_000 }, async () => {
    // A tree of 127 processes and chains of processes of which each lives just long enough to start the next one, in
    // the program's session and outside of it. They end by themselves when the directory is gone.
    using directory = new ScratchDirectory();
    const hop = join(directory.path, 'hop');
    writeFileSync(hop, '#!/bin/sh\n[ -e "$0" ] || exit\nif [ "$1" ]; then setsid "$0" 1 & else "$0" & fi\n', {
      mode: 0o755,
    });
    const script = `
      tree() { [ "$1" -le 0 ] && exec sleep 1000; tree $(($1 - 1)) & tree $(($1 - 1)) & wait; }
      tree 5 & "$1" & "$1" & "$1" 1 & "$1" 1 & echo ready; wait; sleep 1000`;
    const { spec, handle } = await startShell(script, hop);
    assert.ok(processesOf(spec.executionId).length > 1);
    await backend.kill(handle);
    assert.deepEqual((await backend.wait(handle)).termination, { kind: 'signaled', signal: 'SIGKILL' });
    for (let look = 0; look < 20; look += 1) assert.deepEqual(processesOf(spec.executionId), []);
    rmSync(hop);
    await backend.cleanup(handle);
  });
});

describe('killLeftovers', () => {
  it(
    'kills what carries the marker of an execution whose owner is gone, and nothing else',
    { timeout: 60_000 },
    async () => {
      const executionId = randomUUID();
      const mine = spawn('/bin/sh', ['-c', 'sleep 1000 & setsid env -i sleep 1000 & echo ready; wait'], {
        env: { PATH: process.env['PATH'], [MARKER_VARIABLE]: executionId },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const other = spawn('sleep', ['1000'], {
        env: { PATH: process.env['PATH'], [MARKER_VARIABLE]: randomUUID(), NOT_THE_MARKER: executionId },
      });
      const ended = once(mine, 'exit');
      await once(mine.stdout, 'data');
      assert.equal(await killLeftovers(executionId), true);
      assert.deepEqual(processesOf(executionId), []);
      assert.deepEqual(await ended, [null, 'SIGKILL']);
      assert.equal(other.exitCode ?? other.signalCode, null);
      other.kill('SIGKILL');
      await once(other, 'exit');
    },
  );

  it('is content when there is nothing', async () => {
    assert.equal(await killLeftovers(randomUUID()), true);
  });
});
