import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { CGROUP_PARENT, CGROUP_ROOT } from '../../src/backends/firecracker/cell.js';
import { JAILER, makeMonitor } from '../backends/firecracker/firecracker-binary.js';
import {
  childProcesses,
  LIMITS,
  makeFirecrackerBackend,
  never,
  reasonToSkip,
  ScratchDirectory,
} from '../contract/subject.js';
import { runPython } from '../backends/qemu/clones.js';
import { reasonNotToMount, SmallDisk } from '../small-disk.js';
import { assertStatus, Laboratory } from './laboratory.js';
import { ReachableMonitor } from './reachable-monitor.js';

const scratch = new ScratchDirectory();
const cellDirectory = join(scratch.path, 'data', 'cells');
const isRoot = process.getuid?.() === 0;

const monitor = new ReachableMonitor(
  makeMonitor(scratch, { jailer: isRoot ? (JAILER ?? 'jailer') : null, cellDirectory }),
);
const backend = makeFirecrackerBackend(scratch, { monitor });
const skip = await reasonToSkip(backend);
const mountable = skip ?? (await reasonNotToMount(scratch));
const laboratory = new Laboratory(scratch, backend);

after(() => {
  laboratory[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

/** Names of the cells that are there, and of their cgroups. */
function cells(): string[] {
  const programs = existsSync(cellDirectory) ? readdirSync(cellDirectory) : [];
  return [...programs.flatMap((program) => readdirSync(join(cellDirectory, program))), ...cgroups()];
}

function cgroups(): string[] {
  const parent = join(CGROUP_ROOT, CGROUP_PARENT);
  if (!existsSync(parent)) return [];
  const entries = readdirSync(parent, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

describe('a Firecracker that is ended or stopped from outside', { skip: skip ?? false }, () => {
  for (const [signal, code] of [
    ['SIGKILL', 'guest_lost'],
    ['SIGSTOP', 'vmm_stopped'],
  ] as const) {
    it(`by ${signal} while its guest boots`, async () => {
      monitor.onLaunched = (pid) => process.kill(pid, signal);
      const ended = await laboratory.run({});
      assertStatus(ended, 'infra_error');
      assert.equal(ended.error?.code, code, ended.error?.message);
      assert.deepEqual(cells(), []);
    });

    it(`by ${signal} when the program has just started`, async () => {
      let firecracker = 0;
      monitor.onLaunched = (pid) => (firecracker = pid);
      const ended = await laboratory.run({
        program: { kind: 'command', argv: ['sleep', '1000'] },
        onStarted: () => process.kill(firecracker, signal),
      });
      assertStatus(ended, 'infra_error');
      assert.equal(ended.error?.code, code, ended.error?.message);
      assert.deepEqual(cells(), []);
    });
  }

  it('leaves nothing, and the next run works', async () => {
    monitor.onLaunched = null;
    await laboratory.assertSoundAndClean();
    assert.deepEqual(cells(), []);
  });
});

describe('a jailed Firecracker', { skip: skip ?? (isRoot ? false : 'not root') }, () => {
  it('has a user of its own, a cell that is its own, and nothing else of the host', async () => {
    const seen: { readonly uid: number; readonly root: string[]; readonly kernelUid: number }[] = [];
    let pid = 0;
    monitor.onLaunched = (launched) => (pid = launched);
    const ended = await laboratory.run({
      onStarted: () => {
        const root = `/proc/${pid}/root`;
        seen.push({
          uid: statSync(`/proc/${pid}`).uid,
          root: readdirSync(root)
            .filter((name) => !name.endsWith('.pid'))
            .sort(),
          kernelUid: statSync(join(root, 'kernel')).uid,
        });
      },
    });
    monitor.onLaunched = null;
    assert.equal(ended.status, 'ok', ended.error?.message);
    const [{ uid, root, kernelUid } = { uid: 0, root: [], kernelUid: -1 }] = seen;
    assert.ok(uid >= 1_900_000_000 && kernelUid === 0);
    assert.deepEqual(root, [
      ...['api.sock', 'dev', 'firecracker', 'initramfs', 'kernel', 'log.pipe', 'metrics.pipe', 'root-disk'],
      ...['run', 'vsock.sock', 'workspace-disk'],
    ]);
  });
});

describe('a disk that is full while a snapshot is written', { skip: mountable ?? false }, () => {
  it('is a note, and guests boot', async () => {
    // Room for what a machine leaves in its cell, and for no memory of a guest.
    await using disk = await SmallDisk.mount(scratch, 'snapshot', '40m');
    const onSmallDisk = makeFirecrackerBackend(scratch, {
      poolSize: 0,
      spoolDirectory: disk.path,
      snapshotDirectory: scratch.make('disk-snapshot/snapshots'),
      monitor: makeMonitor(scratch, {
        jailer: isRoot ? (JAILER ?? 'jailer') : null,
        cellDirectory: join(disk.path, 'cells'),
      }),
    });
    await onSmallDisk.prepare(never);
    const { snapshot, notes } = onSmallDisk.describe();
    assert.equal(snapshot, null);
    assert.match(notes.join(' '), /no snapshot could be made: .*(No space left|ENOSPC)/);
    assert.deepEqual(readdirSync(scratch.make('disk-snapshot/snapshots')), []);
    await onSmallDisk.close();
  });

  it('is the same where only the store is full, which keeps no part of a snapshot', async () => {
    await using disk = await SmallDisk.mount(scratch, 'store', '20m');
    const storing = makeFirecrackerBackend(scratch, { monitor, poolSize: 0, snapshotDirectory: disk.path });
    await storing.prepare(never);
    const { snapshot, notes } = storing.describe();
    assert.equal(snapshot, null);
    assert.match(notes.join(' '), /no snapshot could be made: .*(No space left|ENOSPC)/);
    assert.deepEqual(readdirSync(disk.path), []);
    const { handle, stdout } = await runPython(storing, 'print(2+2)');
    assert.deepEqual([handle.origin.start, stdout.toString()], ['cold', '4\n']);
    await storing.close();
    assert.deepEqual(cells(), []);
  });
});

describe('clones of a Firecracker', { skip: skip ?? false }, () => {
  it('wait in a pool, are passed over when they are killed there, and are made again', async () => {
    const pooling = makeFirecrackerBackend(scratch, { monitor, poolSize: 1 });
    const ready = (): number => pooling.gauges().find(({ name }) => name === 'pool_ready')?.value ?? 0;
    await pooling.prepare(never);
    using other = new Laboratory(scratch, pooling);
    while (ready() < 1) await delay(10);
    const pooled = await other.python('print(2+2)', { limits: LIMITS });
    assert.equal(pooled.status, 'ok', pooled.error?.message);
    assert.equal(Buffer.from(pooled.stdout?.kept ?? []).toString(), '4\n');
    while (ready() < 1) await delay(10);
    const waiting = cells();
    // The name of a cell is also that of its cgroup.
    assert.equal(new Set(waiting).size, 1);
    for (const pid of childProcesses()) process.kill(pid, 'SIGKILL');
    // Without anybody asking for it: what it had goes when it does, whether or not another one is made meanwhile.
    while (cells().some((name) => waiting.includes(name))) await delay(10);
    const next = await other.python('print(2+2)', { limits: LIMITS });
    assert.equal(next.status, 'ok', next.error?.message);
    await pooling.close();
    assert.deepEqual(cells(), []);
  });
});
