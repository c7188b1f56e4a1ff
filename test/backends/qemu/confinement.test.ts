import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { confinement } from '../../../src/backends/qemu/confinement.js';
import { hasEnded, listPids, readProcess } from '../../../src/base/process-table.js';
import {
  childProcesses,
  commandSpec,
  makeQemuBackend,
  never,
  reasonToSkip,
  ScratchDirectory,
} from '../../contract/subject.js';

const scratch = new ScratchDirectory();
const backend = makeQemuBackend(scratch);
const skip = await reasonToSkip(backend);
const skipUnlessRoot =
  skip ?? (process.getuid?.() === 0 ? null : 'only root can give the emulator another user');

after(() => {
  scratch[Symbol.dispose]();
});

/** `Name: value` lines of /proc/PID/status (proc_pid_status(5)). */
function statusOf(pid: number): ReadonlyMap<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'latin1').split('\n');
  return new Map(
    lines.map((line): [string, string] => [line.split(':')[0] ?? '', line.split('\t').slice(1).join(' ')]),
  );
}

describe('a QEMU with a running guest', { skip: skipUnlessRoot ?? false }, () => {
  it('has no rights, no network, nothing of ours open by name, and a system call filter', async () => {
    const handle = await backend.start(commandSpec(['sleep', '1000']), never);
    try {
      const [pid, ...others] = childProcesses();
      assert.ok(pid !== undefined);
      assert.deepEqual(others, [], 'it is one process');
      assert.match(readFileSync(`/proc/${pid}/cmdline`, 'latin1'), /^[^\0]*qemu-system/);

      const status = statusOf(pid);
      const uids = (status.get('Uid') ?? '').split(' ').map(Number);
      assert.equal(new Set(uids).size, 1);
      assert.ok((uids[0] ?? 0) >= 1_900_000_000, `uids ${uids.join(' ')}`);
      assert.equal(status.get('Gid'), status.get('Uid'));
      assert.equal((status.get('Groups') ?? '').trim(), '');
      assert.equal(status.get('NoNewPrivs'), '1');
      assert.equal(status.get('Seccomp'), '2', 'SECCOMP_MODE_FILTER');
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
        assert.equal(status.get(set), '0000000000000000', set);
      }
      for (const namespace of ['net', 'ipc', 'uts']) {
        const [own, its] = ['self', String(pid)].map((who) => readlinkSync(`/proc/${who}/ns/${namespace}`));
        assert.notEqual(its, own, namespace);
      }
      assert.match(readFileSync(`/proc/${pid}/net/dev`, 'latin1'), /^[^\n]*\n[^\n]*\n *lo:[^\n]*\n$/);
      assert.equal(readFileSync(`/proc/${pid}/environ`, 'latin1'), `PATH=${process.env['PATH'] ?? ''}\0`);
      assert.match(readFileSync(`/proc/${pid}/limits`, 'latin1'), /Max core file size +1 +1/);
      assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
    } finally {
      await backend.cleanup(handle);
    }
  });
});

describe('a QEMU whose Glasshouse is killed', { skip: skip ?? false }, () => {
  it('dies with it', async () => {
    const script = fileURLToPath(new URL('orphan-maker.js', import.meta.url));
    const owner = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(owner.stdout, 'data')) as [Buffer];
    const qemu = readProcess(Number(line.toString()));
    assert.ok(qemu !== null && !hasEnded(qemu));
    owner.kill('SIGKILL');
    await once(owner, 'close');
    // The kernel sends the signal as the owner dies; the guest's memory takes a moment to be given back.
    const isSame = (): boolean => {
      const now = listPids().includes(qemu.pid) ? readProcess(qemu.pid) : null;
      return now !== null && now.startTicks === qemu.startTicks && !hasEnded(now);
    };
    while (isSame()) await new Promise((resolve) => setImmediate(resolve));
  });
});

describe('what is started in confinement', () => {
  const [command, ...leading] = confinement(false).prefix;

  it('runs as a child of ours', () => {
    const { stdout } = spawnSync(command, [...leading, 'echo', 'ran'], { encoding: 'utf8' });
    assert.equal(stdout, 'ran\n');
  });

  it('never runs when its parent is another: we were gone before it asked to die with us', () => {
    const other = ['-c', '"$@"; exit "$?"', 'sh', command, ...leading, 'echo', 'ran'];
    const { status, stdout } = spawnSync('sh', other, { encoding: 'utf8' });
    assert.deepEqual([status, stdout], [1, '']);
  });
});
