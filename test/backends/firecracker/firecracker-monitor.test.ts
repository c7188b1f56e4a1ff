import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { type FirecrackerOptions } from '../../../src/backends/firecracker/firecracker-monitor.js';
import { BootDeadline } from '../../../src/backends/vm/boot-deadline.js';
import { type MachineRequest } from '../../../src/backends/vm/machine.js';
import { openAnonymousFile } from '../../../src/base/anonymous-file.js';
import { hostHelper } from '../../../src/base/host-helper.js';
import { type GuestImage } from '../../../src/images/locate.js';
import { childProcesses, launch, never, openDescriptors, ScratchDirectory } from '../../contract/subject.js';
import { FIRECRACKER, makeMonitor, optionsIn, skipWithoutFirecracker } from './firecracker-binary.js';

const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

const INSPECTOR = fileURLToPath(new URL('unprivileged-inspector.js', import.meta.url));
const BAD_FIRECRACKER = fileURLToPath(new URL('bad-firecracker.js', import.meta.url));
const isRoot = process.getuid?.() === 0;
const skipHelper = existsSync(hostHelper('keep-machine')) ? false : 'host/keep-machine is not built';
let places = 0;

function script(text: string): string {
  const file = join(scratch.path, `program-${(places += 1)}`);
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
  return file;
}

/** A monitor for which /dev/kvm is there, whatever this machine has: /dev/null can be read and written. */
function monitorOf(changes: Partial<FirecrackerOptions>): ReturnType<typeof makeMonitor> {
  const cellDirectory = join(scratch.make(`data-${(places += 1)}`), 'cells');
  return makeMonitor(scratch, { kvmDevice: '/dev/null', cellDirectory, ...changes });
}

/** How inspect() refuses these for a user who is not root and in no group. */
async function refusalForNobody(
  changes: Partial<FirecrackerOptions>,
): Promise<{ readonly code: string | null; readonly message: string }> {
  chmodSync(scratch.path, 0o755);
  const options: FirecrackerOptions = {
    ...optionsIn(join(scratch.path, 'no-cells')),
    kvmDevice: '/dev/null',
    ...changes,
  };
  const { stdout } = await promisify(execFile)(process.execPath, [INSPECTOR, JSON.stringify(options)]);
  return JSON.parse(stdout) as { code: string | null; message: string };
}

const says = (version: string): string => script(`echo ${version}`);
const FIRECRACKER_1_16 = says('Firecracker v1.16.1');

describe('looking for Firecracker', { timeout: 60_000 }, () => {
  const refused: Readonly<Record<string, readonly [Partial<FirecrackerOptions>, string, RegExp]>> = {
    'it is missing': [{ binary: '/absent' }, 'tool_missing', /\/absent.*glasshouse setup firecracker/],
    'no name in PATH is it': [{ binary: 'no-such-firecracker' }, 'tool_missing', /--firecracker-bin/],
    'it is another program': [{ binary: '/bin/true' }, 'backend_unavailable', /another program/],
    'it is too old': [{ binary: says('Firecracker v1.13.1') }, 'backend_unavailable', /1\.14 to 1\.16/],
    'it is too new': [{ binary: says('Firecracker v1.17.0') }, 'backend_unavailable', /1\.14 to 1\.16/],
    'there is no KVM': [
      { binary: FIRECRACKER_1_16, kvmDevice: '/dev/no-such-kvm' },
      'backend_unavailable',
      /no \/dev\/no-such-kvm: .*firmware/,
    ],
  };
  for (const [what, [changes, code, message]] of Object.entries(refused)) {
    it(`says so when ${what}`, async () => {
      await assert.rejects(monitorOf(changes).inspect(), { code, message });
    });
  }

  it('says so when KVM may not be used', async () => {
    const kvmDevice = join(scratch.path, 'closed');
    writeFileSync(kvmDevice, '', { mode: 0o000 });
    const { code, message } = await refusalForNobody({ binary: FIRECRACKER_1_16, kvmDevice });
    assert.equal(code, 'backend_unavailable');
    assert.match(message, /No permission.*group/);
  });

  it('does not take a jailer without root', async () => {
    const { code, message } = await refusalForNobody({
      binary: FIRECRACKER_1_16,
      jailer: says('Jailer v1.16.1'),
    });
    assert.equal(code, 'backend_unavailable');
    assert.match(message, /needs root.*--no-jailer/);
  });

  const jailers: Readonly<Record<string, readonly [string, string, RegExp]>> = {
    'is missing': ['/absent', 'tool_missing', /--jailer-bin/],
    'follows symbolic links': [says('Jailer v1.14.0'), 'backend_unavailable', /symbolic links/],
    'is of another version': [says('Jailer v1.15.1'), 'backend_unavailable', /does not belong/],
    'is another program': ['/bin/true', 'backend_unavailable', /another program/],
  };
  for (const [what, [jailer, code, message]] of Object.entries(jailers)) {
    it(`does not take a jailer that ${what}`, { skip: !isRoot && 'not root' }, async () => {
      await assert.rejects(monitorOf({ binary: FIRECRACKER_1_16, jailer }).inspect(), { code, message });
    });
  }

  it('notes that there is no jail', async () => {
    const facts = await monitorOf({ binary: FIRECRACKER_1_16 }).inspect();
    assert.equal(facts.version, 'Firecracker 1.16.1');
    assert.match(facts.notes.join(), /without the jailer/);
  });

  it('looks again after it found nothing', async () => {
    const binary = join(scratch.path, 'later');
    const monitor = monitorOf({ binary });
    await assert.rejects(monitor.inspect(), { code: 'tool_missing' });
    writeFileSync(binary, '#!/bin/sh\necho Firecracker v1.15.1\n', { mode: 0o755 });
    assert.equal((await monitor.inspect()).version, 'Firecracker 1.15.1');
  });

  it('makes a key of what a frozen machine depends on', async () => {
    const shape = { accelerator: 'kvm', memoryMb: 224, cpus: 1, diskMb: 64 } as const;
    const one = await monitorOf({ binary: FIRECRACKER_1_16 }).freezeKey(shape);
    const older = await monitorOf({ binary: says('Firecracker v1.16.0') }).freezeKey(shape);
    const larger = await monitorOf({ binary: FIRECRACKER_1_16 }).freezeKey({ ...shape, memoryMb: 225 });
    const roomier = await monitorOf({ binary: FIRECRACKER_1_16 }).freezeKey({ ...shape, diskMb: 65 });
    assert.equal(new Set([one, older, larger, roomier]).size, 4);
    assert.equal(await monitorOf({ binary: FIRECRACKER_1_16 }).freezeKey(shape), one);
  });
});

/** Parts that no kernel could boot: what is tested comes before that. */
function imageOfNothing(): GuestImage {
  const part = (name: string): string => {
    const file = join(scratch.path, name);
    writeFileSync(file, Buffer.alloc(4096));
    return file;
  };
  return {
    rootPath: part('root'),
    kernelPath: part('kernel'),
    initramfsPath: part('initramfs'),
  } as GuestImage;
}

function requestWith(workspace: FileHandle): MachineRequest {
  return {
    accelerator: 'kvm',
    memoryMb: 128,
    cpus: 1,
    diskMb: 1,
    image: imageOfNothing(),
    workspace,
    memory: { kind: 'own' },
  };
}

async function withWorkspace(act: (request: MachineRequest) => Promise<void>): Promise<void> {
  const descriptors = openDescriptors();
  const children = childProcesses();
  {
    await using workspace = await openAnonymousFile(scratch.path);
    await workspace.truncate(1024 * 1024);
    await act(requestWith(workspace));
  }
  assert.deepEqual(openDescriptors(), descriptors, 'no descriptor is left');
  assert.deepEqual(childProcesses(), children, 'no process is left');
}

describe('a Firecracker that fails', { skip: skipHelper, timeout: 60_000 }, () => {
  const failures: Readonly<Record<string, readonly [string, RegExp]>> = {
    'ends-at-once': ['vmm_failed', /exited with code 7; last words: .*u\{1b\}\[31mcannot go on/],
    'dies-between-two-calls': [
      'vmm_failed',
      /Firecracker did not answer PUT .*it has ended|was ended by SIGKILL/,
    ],
    refuses: ['vmm_failed', /refused PUT \/machine-config \(400\): no such kernel/],
    'has-no-room': ['disk_full', /No space left/],
  };
  for (const [behaviour, [code, message]] of Object.entries(failures)) {
    it(`is an error with what it said, and leaves nothing behind: ${behaviour}`, async () => {
      const binary = script(`exec ${process.execPath} ${BAD_FIRECRACKER} ${behaviour} "$@"`);
      const cellDirectory = join(scratch.make(`data-${(places += 1)}`), 'cells');
      await withWorkspace(async (request) => {
        await assert.rejects(launch(monitorOf({ binary, cellDirectory }), request), { code, message });
      });
      assert.deepEqual(
        readdirSync(cellDirectory).flatMap((name) => readdirSync(join(cellDirectory, name))),
        [],
      );
    });
  }

  it('is ended when its time is over before it answers, or when nobody waits any more', async () => {
    const binary = script(`exec ${process.execPath} ${BAD_FIRECRACKER} never-listens "$@"`);
    const cellDirectory = join(scratch.make('data-late'), 'cells');
    const caller = new AbortController();
    const deadlines = [
      ['boot_timeout', new BootDeadline(never, 300)],
      ['canceled', new BootDeadline(caller.signal, 60_000)],
    ] as const;
    for (const [code, deadline] of deadlines) {
      using _owner = deadline;
      await withWorkspace(async (request) => {
        const launched = monitorOf({ binary, cellDirectory }).launch(request, deadline);
        if (code === 'canceled') caller.abort();
        await assert.rejects(launched, { code });
      });
    }
    const left = readdirSync(cellDirectory).flatMap((name) => readdirSync(join(cellDirectory, name)));
    assert.deepEqual(left, []);
  });

  it('is an error when its image has vanished', async () => {
    await withWorkspace(async (request) => {
      const image = { ...request.image, kernelPath: join(scratch.path, 'vanished') };
      const monitor = monitorOf({ binary: FIRECRACKER_1_16 });
      await assert.rejects(launch(monitor, { ...request, image }), { code: 'image_missing' });
    });
  });

  it('is an error when keep-machine is missing', async () => {
    await withWorkspace(async (request) => {
      const monitor = monitorOf({ binary: FIRECRACKER_1_16, keeper: '/absent/keep-machine' });
      await assert.rejects(launch(monitor, request), { code: 'vmm_failed', message: /ENOENT/ });
    });
  });
});

describe('a real Firecracker', { skip: skipHelper || skipWithoutFirecracker, timeout: 60_000 }, () => {
  it('says why it does not boot what is no kernel, and leaves nothing behind', async () => {
    await withWorkspace(async (request) => {
      const monitor = monitorOf({ binary: FIRECRACKER ?? '' });
      await assert.rejects(launch(monitor, request), {
        code: 'vmm_failed',
        message: /refused PUT \/actions \(400\)/,
      });
    });
  });
});
