import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { open, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { runOrThrow } from '../../src/base/child-process.js';
import { defaultImageDirectory, openImage } from '../../src/images/locate.js';
import { MANIFEST_FILE, PART_NAMES } from '../../src/images/manifest.js';
import { writeImage } from '../contract/guest-image.js';
import {
  childProcesses,
  CollectingSink,
  commandSpec,
  makeQemuBackend,
  makeQemuMonitor,
  never,
  reasonToSkip,
  ScratchDirectory,
} from '../contract/subject.js';
import { reasonNotToMount, SmallDisk } from '../small-disk.js';
import { assertStatus, Laboratory } from './laboratory.js';
import { ReachableMonitor } from './reachable-monitor.js';

const scratch = new ScratchDirectory();
const monitor = new ReachableMonitor(
  makeQemuMonitor({
    binary: 'qemu-system-x86_64',
    accelerators: ['tcg'],
    runtimeDirectory: scratch.make('spool'),
  }),
);
const backend = makeQemuBackend(scratch, { monitor });
const skip = await reasonToSkip(backend);
// All that is awaited comes first: the runner takes tests that are made later for a file that has ended.
const image = skip === null ? await openImage(defaultImageDirectory()) : null;
const mountable = skip ?? (await reasonNotToMount(scratch));
const laboratory = new Laboratory(scratch, backend);

after(() => {
  laboratory[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

describe('a QEMU that is ended or stopped from outside', { skip: skip ?? false }, () => {
  for (const [signal, code] of [
    ['SIGKILL', 'guest_lost'],
    ['SIGSTOP', 'vmm_stopped'],
  ] as const) {
    it(`by ${signal} while its guest boots`, async () => {
      monitor.onLaunched = (pid) => process.kill(pid, signal);
      const ended = await laboratory.run({});
      assertStatus(ended, 'infra_error');
      assert.equal(ended.error?.code, code, ended.error?.message);
      if (signal === 'SIGKILL') assert.match(ended.error.message, /SIGKILL/);
    });

    it(`by ${signal} when the program has just started`, async () => {
      let qemu = 0;
      monitor.onLaunched = (pid) => (qemu = pid);
      const ended = await laboratory.run({
        program: { kind: 'command', argv: ['sleep', '1000'] },
        onStarted: () => process.kill(qemu, signal),
      });
      assertStatus(ended, 'infra_error');
      assert.equal(ended.error?.code, code, ended.error?.message);
    });

    it(`by ${signal} in the middle of output`, async () => {
      let qemu = 0;
      let seen = 0;
      monitor.onLaunched = (pid) => (qemu = pid);
      const ended = await laboratory.shell('yes', {
        capture: { keepBytes: 1000, endAfterBytes: null },
        listener: {
          write: (_stream, chunk) => {
            const before = seen;
            seen += chunk.length;
            if (before < 1_000_000 && seen >= 1_000_000) process.kill(qemu, signal);
            return Promise.resolve();
          },
        },
      });
      assertStatus(ended, 'infra_error');
      assert.equal(ended.error?.code, code, ended.error?.message);
    });
  }

  it('by SIGKILL while output files are collected keeps the exit code and says what is missing', async () => {
    let qemu = 0;
    monitor.onLaunched = (pid) => (qemu = pid);
    const writing = backend.start(
      commandSpec(['sh', '-c', 'head -c 24000000 /dev/zero > large; exit 6'], { sink: new CollectingSink() }),
      never,
    );
    const handle = await writing;
    // The file is on its way once more of it has arrived in this process than any other message holds.
    await spoolHolds(scratch.make('spool'));
    process.kill(qemu, 'SIGKILL');
    const result = await backend.wait(handle);
    await backend.cleanup(handle);
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 6 });
    assert.equal(result.outputFilesComplete, false);
  });

  it('leaves nothing, and the next run works', async () => {
    monitor.onLaunched = null;
    await laboratory.assertSoundAndClean();
  });
});

/** Resolves when this process has written output files into its nameless spool in `directory`. */
async function spoolHolds(directory: string): Promise<void> {
  for (;;) {
    for (const name of readdirSync('/proc/self/fd')) {
      try {
        const path = `/proc/self/fd/${name}`;
        if (readlinkSync(path).startsWith(directory) && statSync(path).size > 100_000) return;
      } catch {
        continue; // Closed meanwhile.
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a QEMU that is not what it should be', { skip: skip ?? false }, () => {
  for (const [what, make, code] of [
    ['does not exist', () => join(scratch.path, 'no-qemu'), 'tool_missing'],
    ['cannot be executed', () => notExecutable(), 'tool_failed'],
    ['is another program', () => 'true', 'backend_unavailable'],
  ] as const) {
    it(`and ${what} is refused before anything is started`, async () => {
      const other = makeQemuBackend(scratch, { binary: make() });
      await assert.rejects(other.prepare(never), { name: 'GlasshouseError', code });
      const report = await other.probe(never);
      assert.equal(report.verdict, 'cannot');
      assert.ok(report.advice !== null && report.detail !== '');
    });
  }
});

function notExecutable(): string {
  const path = join(scratch.path, 'qemu-without-permission');
  writeFileSync(path, '#!/bin/sh\n');
  chmodSync(path, 0o644);
  return path;
}

if (image !== null) {
  describe('a guest image that is damaged', () => {
    for (const part of PART_NAMES) {
      for (const [damage, harm] of [
        ['truncated', (path: string) => truncate(path, 1_000_000)],
        ['flipped by one bit', (path: string) => flipBit(path)],
        ['missing', (path: string) => runOrThrow('rm', [path])],
      ] as const) {
        it(`in its ${part}, ${damage}, is refused before anything is started`, async () => {
          const imageDirectory = scratch.make(`image-${part}-${damage.slice(0, 4)}`);
          writeImage(image, imageDirectory);
          const path = join(imageDirectory, image.manifest.parts[part].file);
          await runOrThrow('rm', [path]);
          copyFileSync(join(image.directory, image.manifest.parts[part].file), path);
          await harm(path);
          await assert.rejects(makeQemuBackend(scratch, { imageDirectory }).prepare(never), {
            code: 'image_corrupt',
          });
          await runOrThrow('rm', ['-r', imageDirectory]);
        });
      }
    }

    it('in its manifest is refused', async () => {
      const imageDirectory = scratch.make('image-manifest');
      writeImage(image, imageDirectory);
      for (const text of ['', '{', '[]', '{"format_version":1}', '\0'.repeat(100)]) {
        writeFileSync(join(imageDirectory, MANIFEST_FILE), text);
        await assert.rejects(makeQemuBackend(scratch, { imageDirectory }).prepare(never), {
          code: 'image_corrupt',
        });
      }
    });

    it('that is not there is named as such', async () => {
      const imageDirectory = scratch.make('no-image');
      await assert.rejects(makeQemuBackend(scratch, { imageDirectory }).prepare(never), {
        code: 'image_missing',
      });
    });

    it('that vanishes after it was verified is named in the receipt', async () => {
      const imageDirectory = scratch.make('image-vanishing');
      writeImage(image, imageDirectory);
      const vanishing = makeQemuBackend(scratch, { imageDirectory });
      await vanishing.prepare(never);
      await runOrThrow('rm', ['-r', imageDirectory]);
      using other = new Laboratory(scratch, vanishing);
      const ended = await other.run({});
      assertStatus(ended, 'infra_error');
      assert.equal(ended.error?.code, 'image_missing', ended.error?.message);
    });

    it('that is damaged after it was verified is named in the receipt', async () => {
      const imageDirectory = scratch.make('image-rotting');
      writeImage(image, imageDirectory);
      const kernel = join(imageDirectory, image.manifest.parts.kernel.file);
      await runOrThrow('rm', [kernel]);
      copyFileSync(image.kernelPath, kernel);
      const rotting = makeQemuBackend(scratch, { imageDirectory });
      await rotting.prepare(never);
      await flipBit(kernel);
      using other = new Laboratory(scratch, rotting);
      const ended = await other.run({});
      assertStatus(ended, 'infra_error');
      assert.equal(ended.error?.code, 'image_corrupt', ended.error?.message);
    });

    it('that does not boot, although its manifest fits, is guest_lost', async () => {
      const imageDirectory = scratch.make('image-unbootable');
      writeImage(image, imageDirectory, { root: Buffer.alloc(1 << 20) });
      using other = new Laboratory(scratch, makeQemuBackend(scratch, { imageDirectory }));
      const ended = await other.run({});
      assertStatus(ended, 'infra_error');
      assert.equal(ended.error?.code, 'guest_lost', ended.error?.message);
      assert.match(ended.error.message, /mount the root/);
    });
  });
}

async function flipBit(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  const at = 500_000;
  await file.read(byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await file.write(byte, 0, 1, at);
}

describe('a host whose disk is full', { skip: mountable ?? false }, () => {
  it('cannot make a workspace: disk_full, and nothing is started', async () => {
    await using disk = await SmallDisk.mount(scratch, 'full', '16k');
    using other = new Laboratory(scratch, makeQemuBackend(scratch, { spoolDirectory: disk.path }));
    const ended = await other.run({});
    assertStatus(ended, 'infra_error');
    assert.equal(ended.error?.code, 'disk_full', ended.error?.message);
  });

  it('gives the program an I/O error for what does not fit, and goes on', async () => {
    await using disk = await SmallDisk.mount(scratch, 'small', '4m');
    using other = new Laboratory(scratch, makeQemuBackend(scratch, { spoolDirectory: disk.path }));
    const ended = await other.shell(
      'dd if=/dev/zero of=large bs=1M count=24 conv=fsync || { rm large; exit 9; }',
    );
    assert.deepEqual([ended.status, ended.exitCode], ['error', 9]);
  });

  it('cannot take output files: the execution fails, and the receipt says why', async () => {
    await using disk = await SmallDisk.mount(scratch, 'output', '8m');
    using other = new Laboratory(scratch, makeQemuBackend(scratch, { spoolDirectory: disk.path }));
    const ended = await other.shell('head -c 6000000 /dev/urandom > large; sync');
    assertStatus(ended, 'infra_error');
    assert.equal(ended.error?.code, 'disk_full', ended.error?.message);
    assert.equal(ended.filesComplete, false);
  });
});

describe('an accelerator that is there but does not work', { skip: skip ?? false }, () => {
  it('is passed over, with the reason', async () => {
    const either = makeQemuBackend(scratch, {
      accelerators: ['kvm', 'tcg'],
      cacheDirectory: scratch.make('cache-1'),
    });
    await either.prepare(never);
    const { isolation, notes } = either.describe();
    // Where KVM works there is nothing to pass over.
    if (isolation === 'vm-tcg') assert.match(notes.join(' '), /no guest boots on kvm here/);
    else assert.equal(isolation, 'vm-kvm');
    assert.deepEqual(childProcesses(), []);
  });
});

describe('two callers of prepare()', { skip: skip ?? false }, () => {
  // Which of them looks at the image first, and so prepares for both, is chance: each has its turn at going away.
  for (const [place, goesAway] of [
    ['first', 0],
    ['second', 1],
  ] as const) {
    it(`do not suffer from each other when the ${place} one goes away`, async () => {
      const either = makeQemuBackend(scratch, {
        accelerators: ['tcg', 'kvm'],
        cacheDirectory: scratch.make(`cache-2-${place}`),
      });
      const controller = new AbortController();
      const callers = [0, 1].map((caller) => either.prepare(caller === goesAway ? controller.signal : never));
      controller.abort();
      await Promise.all([
        assert.rejects(callers[goesAway] ?? Promise.resolve(), { code: 'canceled' }),
        callers[1 - goesAway],
      ]);
      assert.equal(either.describe().isolation, 'vm-tcg');
    });
  }
});
