import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';

import { QemuMonitor } from '../../../src/backends/qemu/qemu-monitor.js';
import { type VmBackend } from '../../../src/backends/vm/vm-backend.js';
import { runToCompletion } from '../../../src/base/child-process.js';
import { type GlasshouseError } from '../../../src/base/errors.js';
import { hostHelper } from '../../../src/base/host-helper.js';
import { ownPages } from '../../../src/base/own-pages.js';
import { hasEnded, listPids, readProcess } from '../../../src/base/process-table.js';
import {
  childProcesses,
  commandSpec,
  makeQemuBackend,
  makeQemuMonitor,
  never,
  reasonToSkip,
  ScratchDirectory,
} from '../../contract/subject.js';
import { reasonNotToMount, SmallDisk } from '../../small-disk.js';
import { poolReady, runPython, untilPoolHas } from './clones.js';

const scratch = new ScratchDirectory();
const snapshotDirectory = scratch.make('snapshots');
const pooling = makeQemuBackend(scratch, { poolSize: 2, snapshotDirectory });
const skip = await reasonToSkip(pooling);
const isEmulated = skip === null && pooling.describe().isolation === 'vm-tcg';
const isRoot = process.getuid?.() === 0;
const notMountable = await reasonNotToMount(scratch);
const reason = skip ?? (isEmulated ? false : 'only an emulated machine is copied');

after(async () => {
  await pooling.close();
  scratch[Symbol.dispose]();
});

/** The one process that clones are copied from: the child of ours that has children itself. */
function template(): number {
  const parents = childProcesses().filter((pid) => copies(pid).length > 0);
  const [parent] = parents;
  assert.ok(parent !== undefined && parents.length === 1, 'one template');
  return parent;
}

function copies(parent: number): number[] {
  return listPids().filter((pid) => {
    const entry = readProcess(pid);
    return entry !== null && !hasEnded(entry) && entry.parentPid === parent;
  });
}

function statusOf(pid: number, field: string): string {
  return (
    new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? ''
  );
}

async function pagesOf(pid: number): Promise<ReadonlySet<number>> {
  const pages = await ownPages(pid);
  assert.ok(pages !== null);
  return pages;
}

function templates(backend: VmBackend): number {
  return backend.gauges().find(({ name }) => name === 'pool_templates')?.value ?? 0;
}

async function assertRuns(backend: VmBackend): Promise<void> {
  const { handle, result, stdout } = await runPython(backend, 'print(2+2)');
  assert.deepEqual([result.termination, stdout.toString()], [{ kind: 'exited', exitCode: 0 }, '4\n']);
  assert.notEqual(handle.origin.start, 'cold');
}

/** Begins a program without end, and finds the process that its guest runs in: the one that did not wait before. */
async function startOnCopy(): Promise<{ pid: number; ended: Promise<unknown> }> {
  await untilPoolHas(pooling, 2);
  const waiting = copies(template());
  const handle = await pooling.start(commandSpec(['sh', '-c', 'while :; do :; done']), never);
  assert.equal(handle.origin.start, 'pooled');
  const pid = waiting.find((each) => isAwake(each));
  assert.ok(pid !== undefined, 'one of those that waited runs now');
  const ended = pooling.wait(handle).then(async ({ termination }) => {
    await pooling.cleanup(handle);
    return termination.kind === 'lost' ? termination.error.code : termination.kind;
  });
  return { pid, ended };
}

/** A clone that waits uses no processor at all. */
function isAwake(pid: number): boolean {
  const ticks = (): number => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = ticks();
  const until = performance.now() + 300;
  while (performance.now() < until) if (ticks() > before) return true;
  return false;
}

describe('clones that are copied from one monitor', { skip: reason, timeout: 300_000 }, () => {
  it('are processes of users of their own, without any right', async () => {
    await untilPoolHas(pooling, 2);
    assert.equal(templates(pooling), 1);
    const pids = copies(template());
    assert.equal(pids.length, 2);
    for (const pid of pids) {
      assert.equal(statusOf(pid, 'Seccomp'), '2');
      assert.equal(statusOf(pid, 'NoNewPrivs'), '1');
      assert.match(statusOf(pid, 'CapEff'), /^0+$/);
    }
    const users = new Set([
      process.getuid?.(),
      ...pids.map((pid) => Number(statusOf(pid, 'Uid').split('\t')[0])),
    ]);
    if (isRoot) assert.equal(users.size, 3);
  });

  it('are made again when their template was ended, and nobody notices', async () => {
    await untilPoolHas(pooling, 2);
    const before = template();
    const waiting = copies(before);
    process.kill(before, 'SIGKILL');
    while (waiting.some((pid) => readProcess(pid) !== null)) await nextTurn();
    await assertRuns(pooling);
    await untilPoolHas(pooling, 2);
    assert.notEqual(template(), before);
  });

  for (const [signal, code] of [
    ['SIGKILL', 'guest_lost'],
    ['SIGSTOP', 'vmm_stopped'],
  ] as const) {
    it(`are told apart: ${signal} to one is ${code}, and the others go on`, async () => {
      const { pid, ended } = await startOnCopy();
      process.kill(pid, signal);
      assert.equal(await ended, code);
      await assertRuns(pooling);
    });
  }

  it('have most of what a program writes to as their own while they wait', async (test) => {
    if (!isRoot) {
      test.skip('needs root: a copy lets nobody else look');
      return;
    }
    await untilPoolHas(pooling, 2);
    const before = new Map<number, ReadonlySet<number>>();
    for (const pid of copies(template())) before.set(pid, await pagesOf(pid));
    const program = { kind: 'python', code: 'text = "x" * (4 << 20)', args: [] } as const;
    const handle = await pooling.start(commandSpec(['true'], { program, environment: {} }), never);
    await pooling.wait(handle);
    const written: number[] = [];
    for (const [pid, pages] of before)
      written.push([...(await pagesOf(pid))].filter((page) => !pages.has(page)).length);
    await pooling.cleanup(handle);
    // 1,024 are the text's; beside it, a program writes to some 700. The clone that did not run has written to none.
    const most = Math.max(...written);
    assert.ok(most > 900 && most < 1024 + 350, `${most} pages were copied while the program ran`);
  });

  it('end with their template, as with any monitor', async () => {
    const { ended } = await startOnCopy();
    process.kill(template(), 'SIGKILL');
    assert.equal(await ended, 'guest_lost');
    await assertRuns(pooling);
  });

  it('are restored one by one while their template is stopped', async () => {
    await untilPoolHas(pooling, 2);
    process.kill(template(), 'SIGSTOP');
    for (let run = 0; run < 3; run += 1) await assertRuns(pooling);
    await untilPoolHas(pooling, 2);
  });

  it('are not made while the disk is full, for which their template is not blamed', async (test) => {
    if (notMountable !== null) {
      test.skip(notMountable);
      return;
    }
    await using disk = await SmallDisk.mount(scratch, 'full', '32m');
    const backend = makeQemuBackend(scratch, { poolSize: 1, snapshotDirectory, spoolDirectory: disk.path });
    try {
      await backend.prepare(never);
      await untilPoolHas(backend, 1);
      let fillers = 0;
      let refusal: unknown = null;
      // Those that wait have their workspaces; what they leave room for is filled again, until a clone has to be made.
      while (refusal === null && fillers < 10) {
        const filler = join(disk.path, `filler-${(fillers += 1)}`);
        await runToCompletion('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k']);
        refusal = await runPython(backend, 'print(2+2)').then(
          () => null,
          (error: unknown) => error,
        );
      }
      assert.equal((refusal as GlasshouseError | null)?.code, 'disk_full');
      assert.equal(templates(backend), 1);
      for (; fillers > 0; fillers -= 1) await rm(join(disk.path, `filler-${fillers}`));
      await assertRuns(backend);
    } finally {
      await backend.close();
    }
  });

  it('leave no process behind', async () => {
    await pooling.close();
    assert.deepEqual(childProcesses(), []);
  });
});

describe('a template where no pool is kept', { skip: reason, timeout: 300_000 }, () => {
  const backend = makeQemuBackend(scratch, { poolSize: 0, keepsTemplates: true, snapshotDirectory });

  before(async () => {
    await backend.prepare(never);
  });

  after(() => backend.close());

  it('is copied for who asks', async () => {
    while (templates(backend) === 0) await delay(10);
    const handle = await backend.start(commandSpec(['sh', '-c', 'while :; do :; done']), never);
    const { start, snapshot } = handle.origin;
    assert.deepEqual([start, copies(template()).length], ['restored', 1]);
    assert.equal(snapshot?.sha256, backend.describe().snapshot?.sha256);
    await backend.kill(handle);
    await backend.wait(handle);
    await backend.cleanup(handle);
  });

  it('is made again when it was ended, and nobody notices', async () => {
    const [first = 0] = childProcesses();
    process.kill(first, 'SIGKILL');
    while (templates(backend) > 0) await delay(10);
    await assertRuns(backend);
    while (templates(backend) === 0) await delay(10);
    assert.notEqual(childProcesses()[0], first);
    await assertRuns(backend);
  });
});

describe('a monitor that cannot be copied', { skip: reason, timeout: 300_000 }, () => {
  for (const [what, parts] of [
    ['because the library is missing', { templateLibrary: join(scratch.path, 'nothing.so') }],
    ['because QEMU does not load it', { templateLibrary: '/dev/null' }],
    ['because copy-monitor is missing', { copyHelper: join(scratch.path, 'nothing') }],
  ] as const) {
    it(`${what} is restored each time, and the receipt says so after a few attempts`, async () => {
      const monitor = new QemuMonitor({
        binary: 'qemu-system-x86_64',
        accelerators: ['tcg'],
        runtimeDirectory: scratch.make('spool'),
        templateLibrary: hostHelper('monitor-template.so'),
        copyHelper: hostHelper('copy-monitor'),
        ...parts,
      });
      const backend = makeQemuBackend(scratch, { poolSize: 1, snapshotDirectory, monitor });
      await backend.prepare(never);
      // Attempts are made in the background.
      for (let run = 0; run < 30 && backend.describe().notes.length === 0; run += 1)
        await assertRuns(backend);
      assert.match(backend.describe().notes.join(' '), /clones are not made by copying/);
      await assertRuns(backend);
      await untilPoolHas(backend, 1);
      assert.equal(poolReady(backend), 1);
      await backend.close();
      assert.deepEqual(childProcesses(), []);
    });
  }

  it('is not one that is only asked for a template on KVM', async () => {
    const monitor = makeQemuMonitor({
      binary: 'qemu-system-x86_64',
      accelerators: ['kvm'],
      runtimeDirectory: scratch.make('spool'),
    });
    const shape = { accelerator: 'kvm', memoryMb: 64, cpus: 1, diskMb: 1 } as const;
    const request = { ...shape, memory: { kind: 'own' } } as Parameters<QemuMonitor['launchTemplate']>[0];
    assert.equal(await monitor.launchTemplate(request), null);
  });
});
