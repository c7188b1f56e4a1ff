import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { SealedMemories } from '../../../src/backends/vm/guest-memory.js';
import { SealableMemory } from '../../../src/backends/vm/sealable-memory.js';
import { type Snapshot } from '../../../src/backends/vm/snapshot.js';
import { type FrozenGuest } from '../../../src/backends/vm/snapshot-builder.js';
import { SnapshotStore } from '../../../src/backends/vm/snapshot-store.js';
import { hostHelper } from '../../../src/base/host-helper.js';
import { childProcesses, openDescriptors, ScratchDirectory, sha256 } from '../../contract/subject.js';
import { reasonNotToMount, SmallDisk } from '../../small-disk.js';

const MIB = 1024 * 1024;
const PROFILE = { memoryMb: 2, cpus: 1, diskMb: 1 } as const;
const LINK = { sent: 33, received: 5 } as const;
const STATE = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 31) % 256));
const KEY = 'a'.repeat(64);

const helper = hostHelper('sealed-memory');
const skip = existsSync(helper) ? false : 'host/sealed-memory is not built';
const scratch = new ScratchDirectory();
const spool = scratch.make('spool');
const notMountable = skip !== false ? skip : await reasonNotToMount(scratch);
let directories = 0;

after(() => {
  scratch[Symbol.dispose]();
});

interface Place {
  readonly directory: string;
  readonly store: SnapshotStore;
}

function makePlace(directory = scratch.make(`snapshots-${(directories += 1)}`)): Place {
  return { directory, store: new SnapshotStore(directory, spool, new SealedMemories(helper)) };
}

/** What a freezing leaves: memory and workspace with two blocks each, and a state. */
async function freeze(fill = 1): Promise<FrozenGuest> {
  const memory = await SealableMemory.create(helper, PROFILE.memoryMb * MIB);
  await memory.file.write(Buffer.alloc(4096, fill), 0, 4096, 0);
  await memory.file.write(Buffer.alloc(4096, fill + 1), 0, 4096, MIB + 8192);
  const extents = [4096, 65_536].map((offset) => ({ offset, bytes: Buffer.alloc(4096, fill + 2) }));
  return { memory, state: STATE, workspace: { sizeBytes: MIB, extents }, link: LINK };
}

async function save(place: Place, key = KEY): Promise<Snapshot['identity']> {
  await using snapshot = await place.store.save(key, PROFILE, await freeze());
  return snapshot.identity;
}

async function contentsOf(snapshot: Snapshot): Promise<unknown> {
  const { buffer } = await snapshot.memory.file.read(Buffer.alloc(2 * MIB), 0, 2 * MIB, 0);
  await using state = await snapshot.openState();
  return {
    identity: snapshot.identity,
    profile: snapshot.profile,
    link: snapshot.link,
    memory: sha256(buffer),
    state: sha256(await state.readFile()),
    sizeBytes: snapshot.workspace.sizeBytes,
    workspace: snapshot.workspace.extents.map(({ offset, bytes }) => [offset, sha256(bytes)]),
  };
}

describe('a store of snapshots', { skip }, () => {
  it('gives back what was saved, sealed', async () => {
    const place = makePlace();
    await using saved = await place.store.save(KEY, PROFILE, await freeze());
    await using loaded = await place.store.load(KEY);
    assert.ok(loaded !== null);
    assert.deepEqual(await contentsOf(loaded), await contentsOf(saved));
    for (const { memory } of [saved, loaded])
      await assert.rejects(memory.file.write(Buffer.from('x'), 0, 1, 0), { code: 'EPERM' });
  });

  it('names a snapshot by the digest of its manifest', async () => {
    const place = makePlace();
    const { sha256: name } = await save(place);
    assert.equal(sha256(await readFile(join(place.directory, KEY, 'snapshot.json'))), name);
  });

  it('lets each clone read the state from its beginning', async () => {
    await using snapshot = await makePlace().store.save(KEY, PROFILE, await freeze());
    await using one = await snapshot.openState();
    await using other = await snapshot.openState();
    assert.deepEqual(await one.readFile(), STATE);
    assert.deepEqual(await other.readFile(), STATE);
  });

  it('has nothing under a key that nothing was saved under', async () => {
    assert.equal(await makePlace().store.load(KEY), null);
  });

  it('shows nothing to other users, and takes no room for zeros', async () => {
    const place = makePlace();
    await save(place);
    const directory = join(place.directory, KEY);
    assert.equal((await stat(directory)).mode & 0o077, 0);
    for (const part of ['memory', 'state', 'workspace'])
      assert.equal((await stat(join(directory, part))).mode & 0o077, 0, part);
    const memory = await stat(join(directory, 'memory'));
    assert.equal(memory.size, 2 * MIB);
    assert.ok(memory.blocks * 512 < MIB, `${memory.blocks} blocks`);
  });

  it('keeps neither process nor descriptor when its snapshots are disposed', async () => {
    const place = makePlace();
    const before = openDescriptors();
    await save(place);
    await (await place.store.load(KEY))?.[Symbol.asyncDispose]();
    assert.deepEqual([childProcesses(), openDescriptors()], [[], before]);
  });

  it('replaces what was there', async () => {
    const place = makePlace();
    const before = await save(place);
    await using newer = await place.store.save(KEY, PROFILE, await freeze(7));
    await using loaded = await place.store.load(KEY);
    assert.equal(loaded?.identity.sha256, newer.identity.sha256);
    assert.notEqual(newer.identity.sha256, before.sha256);
  });
});

describe('a stored snapshot', { skip }, () => {
  for (const part of ['memory', 'state', 'workspace', 'snapshot.json'] as const) {
    for (const [damage, harm] of [
      ['flipped by one bit', (file: string) => flipBit(file)],
      ['truncated', (file: string) => truncate(file, 100)],
      ['emptied', (file: string) => truncate(file, 0)],
      ['replaced by a directory', (file: string) => rm(file).then(() => mkdir(file))],
    ] as const) {
      it(`is corrupt when its ${part} was ${damage}`, async () => {
        const place = makePlace();
        await save(place);
        const before = openDescriptors();
        await harm(join(place.directory, KEY, part));
        // A manifest that cannot be read at all is no statement about the snapshot.
        const code =
          part === 'snapshot.json' && damage.includes('directory') ? 'internal' : 'snapshot_corrupt';
        await assert.rejects(place.store.load(KEY), { code });
        assert.deepEqual([childProcesses(), openDescriptors()], [[], before]);
      });
    }

    it(`is ${part === 'snapshot.json' ? 'not there' : 'corrupt'} when its ${part} is missing`, async () => {
      const place = makePlace();
      await save(place);
      await rm(join(place.directory, KEY, part));
      if (part === 'snapshot.json') assert.equal(await place.store.load(KEY), null);
      else await assert.rejects(place.store.load(KEY), { code: 'snapshot_corrupt' });
    });
  }

  it('is corrupt when a part of another one lies in it', async () => {
    const place = makePlace();
    await save(place);
    await (await place.store.save('b'.repeat(64), PROFILE, await freeze(9)))[Symbol.asyncDispose]();
    await cp(join(place.directory, 'b'.repeat(64), 'memory'), join(place.directory, KEY, 'memory'));
    await assert.rejects(place.store.load(KEY), { code: 'snapshot_corrupt' });
  });
});

describe('a snapshot under the name of another', { skip }, () => {
  it('is corrupt: what it depends on is another program, processor or image', async () => {
    const place = makePlace();
    await save(place);
    const other = 'b'.repeat(64);
    await rename(join(place.directory, KEY), join(place.directory, other));
    await assert.rejects(place.store.load(other), {
      code: 'snapshot_corrupt',
      message: /another program, on another processor or for another image/,
    });
  });
});

describe('tidying a store', { skip }, () => {
  it('removes the oldest beyond a bound, and never the one that is in use', async () => {
    const place = makePlace();
    const keys = Array.from({ length: 8 }, (_, index) => String(index).repeat(64));
    for (const key of keys) {
      await save(place, key);
      await new Promise((resolve) => setTimeout(resolve, 2)); // The date has milliseconds.
    }
    await place.store.tidy(keys[0] ?? '');
    assert.deepEqual(readdirSync(place.directory).sort(), [keys[0], ...keys.slice(3)]);
  });

  it('removes what a writer left that has died, and not what another one is writing', async () => {
    const place = makePlace();
    await save(place);
    for (const name of ['.work-dead', '.work-alive']) {
      await mkdir(join(place.directory, name));
      await writeFile(join(place.directory, name, 'memory'), 'half');
    }
    await utimes(join(place.directory, '.work-dead'), 1, 1);
    await place.store.tidy(KEY);
    assert.deepEqual(readdirSync(place.directory).sort(), ['.work-alive', KEY]);
  });

  it('does not stumble over what is no snapshot', async () => {
    const place = makePlace();
    await save(place);
    await writeFile(join(place.directory, 'stray'), 'x');
    await mkdir(join(place.directory, 'empty'));
    await place.store.tidy(KEY);
    assert.ok(existsSync(join(place.directory, KEY, 'memory')));
  });
});

describe('a store on a full disk', { skip: notMountable ?? false }, () => {
  it('saves nothing rather than a part', async () => {
    await using disk = await SmallDisk.mount(scratch, 'snapshots', '12k');
    const place = makePlace(disk.path);
    const frozen = await freeze();
    await assert.rejects(place.store.save(KEY, PROFILE, frozen), { code: 'disk_full' });
    await frozen.memory[Symbol.asyncDispose]();
    assert.deepEqual(readdirSync(disk.path), []);
    assert.equal(await place.store.load(KEY), null);
  });
});

async function flipBit(file: string): Promise<void> {
  const bytes = await readFile(file);
  const at = bytes.length >= MIB ? 8192 * Math.floor(bytes.length / 8192 / 2) : Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(file, bytes);
}
