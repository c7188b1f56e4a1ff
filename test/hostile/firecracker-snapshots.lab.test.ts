import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { loadSnapshot } from '../../src/backends/firecracker/api-actions.js';
import { type FirecrackerOptions } from '../../src/backends/firecracker/firecracker-monitor.js';
import { FILES } from '../../src/backends/firecracker/machine-setup.js';
import { overridesVsock, versionOf } from '../../src/backends/firecracker/versions.js';
import { formatSnapshotManifest, parseSnapshotManifest } from '../../src/backends/vm/snapshot-manifest.js';
import { type VmBackend } from '../../src/backends/vm/vm-backend.js';
import { defaultImageDirectory, openImage } from '../../src/images/locate.js';
import { FIRECRACKER, makeMonitor } from '../backends/firecracker/firecracker-binary.js';
import { RealApi } from '../backends/firecracker/real-api.js';
import { poolReady, runPython, untilPoolHas } from '../backends/qemu/clones.js';
import {
  childProcesses,
  LIMITS,
  makeFirecrackerBackend,
  never,
  reasonToSkip,
  ScratchDirectory,
  sha256,
} from '../contract/subject.js';

const scratch = new ScratchDirectory();
const cellDirectory = join(scratch.path, 'data', 'cells');
const skip = await reasonToSkip(makeFirecrackerBackend(scratch, { jailed: false }));
const firecracker = FIRECRACKER ?? '';
let programs = 0;
let copies = 0;

after(() => {
  scratch[Symbol.dispose]();
});

/** Without a jail, in which none of the programs here could run. */
async function open(
  snapshotDirectory: string,
  changes: Partial<FirecrackerOptions> = {},
  poolSize = 0,
): Promise<VmBackend> {
  const monitor = makeMonitor(scratch, { cellDirectory, ...changes });
  const backend = makeFirecrackerBackend(scratch, { monitor, poolSize, snapshotDirectory });
  await backend.prepare(never);
  return backend;
}

interface Answered {
  readonly start: string;
  /** Of the snapshot that it went on from; empty when it booted. */
  readonly snapshot: string;
}

async function expectAnswer(backend: VmBackend): Promise<Answered> {
  const { handle, stdout } = await runPython(backend, 'print(2+2)');
  assert.equal(stdout.toString(), '4\n');
  return { start: handle.origin.start, snapshot: handle.origin.snapshot?.sha256 ?? '' };
}

/** Runs once in a process of its own, as far as the snapshots are concerned. */
async function runOnceOn(
  snapshotDirectory: string,
  changes: Partial<FirecrackerOptions> = {},
): Promise<Answered> {
  const backend = await open(snapshotDirectory, changes);
  const answered = await expectAnswer(backend);
  await backend.close();
  assertNothingLeft();
  return answered;
}

function assertNothingLeft(): void {
  assert.deepEqual(childProcesses(), []);
  const programsWithCells = existsSync(cellDirectory) ? readdirSync(cellDirectory) : [];
  assert.deepEqual(
    programsWithCells.flatMap((program) => readdirSync(join(cellDirectory, program))),
    [],
  );
}

/** To make one takes most of a minute here: one is made, others begin with a copy of it. */
const made = { directory: scratch.make('snapshots-versions'), other: '', ours: '' };

/** A directory with a copy of one of these, under this name. */
function directoryWith(original: string, name = original): string {
  const directory = scratch.make(`snapshots-${(copies += 1)}`);
  // With its holes.
  const flags = ['--recursive', '--preserve=mode', '--sparse=always'];
  execFileSync('cp', [...flags, join(made.directory, original), join(directory, name)]);
  return directory;
}

function program(text: string): string {
  const file = join(scratch.path, `firecracker-${(programs += 1)}`);
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
  return file;
}

/**
 * Another version: a real one where the lab was given one (--other-version), else this one under another number, which
 * says of itself that its snapshots are not ours.
 */
const realOther = process.env['LAB_OTHER_VERSION'];
const otherVersion =
  realOther === undefined
    ? program(`[ "$1" = --version ] && { echo Firecracker v1.14.99; exit; }\nexec ${firecracker} "$@"`)
    : join(realOther, 'firecracker');

describe('snapshots that another version of Firecracker made', { skip: skip ?? false }, () => {
  it('are not used: one is made anew, and the run succeeds', async () => {
    const theirs = await runOnceOn(made.directory, { binary: otherVersion });
    assert.equal(theirs.start, 'restored');
    [made.other = ''] = readdirSync(made.directory);
    const ours = await runOnceOn(made.directory);
    assert.equal(ours.start, 'restored');
    assert.notEqual(ours.snapshot, theirs.snapshot);
    made.ours = readdirSync(made.directory).find((key) => key !== made.other) ?? '';
    // Going back costs nothing: theirs is still there for them.
    assert.deepEqual(await runOnceOn(made.directory, { binary: otherVersion }), theirs);
  });

  it('are found out under the name of our own', async () => {
    const copied = directoryWith(made.other, made.ours);
    const theirs = sha256(readFileSync(join(copied, made.ours, 'snapshot.json')));
    const { start, snapshot } = await runOnceOn(copied);
    assert.equal(start, 'restored');
    assert.notEqual(snapshot, theirs);
    assert.deepEqual(readdirSync(copied), [made.ours]);
  });

  it('that also claim to be our own cost a boot at most, and no failure', async () => {
    const forged = directoryWith(made.other, made.ours);
    const file = join(forged, made.ours, 'snapshot.json');
    const manifest = parseSnapshotManifest(readFileSync(file, 'utf8'));
    writeFileSync(file, formatSnapshotManifest({ ...manifest, key: made.ours }));
    const backend = await open(forged, {}, 1);
    await expectAnswer(backend);
    await untilPoolHas(backend, 1);
    assert.equal((await expectAnswer(backend)).start, 'pooled');
    await backend.close();
    assertNothingLeft();
  });
});

describe('a snapshot of another processor', { skip: skip ?? false }, () => {
  it('is not used when its manifest says so, whatever its name is', async () => {
    const snapshots = directoryWith(made.ours);
    const first = await runOnceOn(snapshots);
    assert.equal(first.start, 'restored');
    assert.deepEqual(readdirSync(snapshots), [made.ours], 'the copy was as good as the original');
    const file = join(snapshots, made.ours, 'snapshot.json');
    const manifest = parseSnapshotManifest(readFileSync(file, 'utf8'));
    // Of a processor there is nothing in a key but its part in the digest.
    writeFileSync(
      file,
      formatSnapshotManifest({ ...manifest, key: sha256(Buffer.from('another processor')) }),
    );
    const second = await runOnceOn(snapshots);
    assert.equal(second.start, 'restored');
    assert.notEqual(second.snapshot, first.snapshot);
    assert.deepEqual(readdirSync(snapshots), [made.ours]);
    assert.deepEqual(await runOnceOn(snapshots), second);
  });
});

const FAULTY_LOAD = fileURLToPath(new URL('../backends/firecracker/faulty-load.js', import.meta.url));

describe('a Firecracker that loads a snapshot', { skip: skip ?? false }, () => {
  for (const fault of ['dies', 'hangs'] as const) {
    const binary = program(`exec ${process.execPath} ${FAULTY_LOAD} ${fault} ${firecracker} "$@"`);

    it(`and ${fault} meanwhile costs a boot: the run succeeds`, async () => {
      const snapshots = directoryWith(made.ours);
      const backend = await open(snapshots, { binary });
      assert.notEqual(backend.describe().snapshot, null);
      assert.equal((await expectAnswer(backend)).start, 'cold');
      assert.deepEqual(readdirSync(snapshots), [], 'who is blamed is gone');
      await backend.close();
      assertNothingLeft();
    });
  }

  it('and dies for the pool is counted there, and holds up nobody', async () => {
    const binary = program(`exec ${process.execPath} ${FAULTY_LOAD} dies ${firecracker} "$@"`);
    const backend = await open(directoryWith(made.ours), { binary }, 1);
    const failures = (): number => backend.gauges().find(({ name }) => name === 'pool_failures')?.value ?? 0;
    while (failures() === 0) await delay(10);
    assert.equal((await expectAnswer(backend)).start, 'cold');
    assert.equal(poolReady(backend), 0);
    await backend.close();
    assertNothingLeft();
  });
});

/** Loads our snapshot in a directory of its own, without letting its guest go on; the names that are there then. */
async function loadWithVsockAt(vsockPath: string | null): Promise<string[]> {
  const directory = scratch.make(`loaded-${(copies += 1)}`);
  const image = await openImage(defaultImageDirectory());
  for (const file of ['memory', 'state'] as const)
    symlinkSync(join(made.directory, made.ours, file), join(directory, FILES[file]));
  symlinkSync(image.rootPath, join(directory, FILES.root));
  writeFileSync(join(directory, FILES.workspace), '');
  truncateSync(join(directory, FILES.workspace), LIMITS.diskMb * 1024 * 1024);
  await using real = await RealApi.start(directory);
  await real.api.perform(
    loadSnapshot({
      snapshot_path: FILES.state,
      mem_file_path: FILES.memory,
      resume_vm: false,
      vsock_path: vsockPath,
    }),
  );
  return readdirSync(directory);
}

describe('the vsock of a clone', { skip: skip ?? false }, () => {
  it('is where its state says when nobody says otherwise', async () => {
    assert.ok((await loadWithVsockAt(null)).includes(FILES.vsock));
  });

  it('is where it is told to be, in a version that can be told', async () => {
    if (overridesVsock(await versionOf('Firecracker', firecracker))) {
      const names = await loadWithVsockAt('elsewhere.sock');
      assert.deepEqual([names.includes('elsewhere.sock'), names.includes(FILES.vsock)], [true, false]);
    } else
      await assert.rejects(loadWithVsockAt('elsewhere.sock'), { message: /unknown field `vsock_override`/ });
  });
});
