import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { after, beforeEach, describe, it } from 'node:test';

import {
  type MachineEnd,
  type MachineRequest,
  type MonitorFacts,
  type VirtualMachine,
  type VirtualMachineMonitor,
} from '../../../src/backends/vm/machine.js';
import { HELD_INTERPRETERS } from '../../../src/backends/vm/rehearsal.js';
import { Snapshots } from '../../../src/backends/vm/snapshots.js';
import { SnapshotStore } from '../../../src/backends/vm/snapshot-store.js';
import { WorkspaceImages } from '../../../src/backends/vm/workspace-image.js';
import { runToCompletion } from '../../../src/base/child-process.js';
import { SealedMemories } from '../../../src/backends/vm/guest-memory.js';
import { hostHelper } from '../../../src/base/host-helper.js';
import { encodeFrame, FrameDecoder } from '../../../src/guest-link/frame.js';
import { GUEST_FRAME_TYPES, LINK_PROTOCOL_VERSION } from '../../../src/guest-link/guest-message.js';
import { HOST_FRAME_TYPES } from '../../../src/guest-link/host-message.js';
import { type GuestImage } from '../../../src/images/locate.js';
import { withResolvers } from '../../contract/programs.js';
import { childProcesses, openDescriptors, ScratchDirectory } from '../../contract/subject.js';

const PROFILE = { memoryMb: 1, cpus: 1, diskMb: 1 } as const;
const helper = hostHelper('sealed-memory');
const memories = new SealedMemories(helper);
const scratch = new ScratchDirectory();
const spool = scratch.make('spool');
const skip = await reasonToSkip();
let places = 0;

async function reasonToSkip(): Promise<string | false> {
  if (!existsSync(helper)) return 'host/sealed-memory is not built';
  return runToCompletion('mke2fs', ['-V']).then(
    () => false,
    () => 'mke2fs is not installed',
  );
}

after(() => {
  scratch[Symbol.dispose]();
});

/** The link into a guest that holds and rehearses whatever it is told to, or refuses. */
class Link extends Duplex {
  readonly #decoder = new FrameDecoder();
  readonly #refuses: boolean;
  #sequence = 0;

  constructor(refuses: boolean) {
    super();
    this.#refuses = refuses;
    this.#say('hello', Buffer.concat([Buffer.from([LINK_PROTOCOL_VERSION, 0, 0, 0]), Buffer.alloc(8)]));
  }

  override _read(): void {
    // Everything is pushed when it is due.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    for (const { type } of this.#decoder.push(chunk)) {
      if (type !== HOST_FRAME_TYPES.hold && type !== HOST_FRAME_TYPES.rehearse) continue;
      if (this.#refuses) this.#say('start_failed', Buffer.from([5, 0, 0, 0, 2, 0, 0, 0]));
      else if (type === HOST_FRAME_TYPES.hold) this.#say('held', Buffer.alloc(0));
      else this.#rehearse();
    }
    done();
  }

  /** A program that exits with 0 and leaves nothing. */
  #rehearse(): void {
    this.#say('started', Buffer.alloc(8));
    this.#say('exited', Buffer.alloc(44));
    this.#say('output_end', Buffer.alloc(4));
    this.#say('rehearsed', Buffer.alloc(0));
  }

  #say(word: keyof typeof GUEST_FRAME_TYPES, payload: Uint8Array): void {
    this.push(encodeFrame(GUEST_FRAME_TYPES[word], this.#sequence++, payload));
  }
}

/** A monitor whose machines are nothing but their link: what is tested is who asks for them, and when. */
class Monitor implements VirtualMachineMonitor {
  readonly name = 'model';
  readonly memoryKind = 'sealed';
  readonly overheadMb = 0;
  readonly hostFindings = (): readonly string[] => [];
  readonly gauges = (): readonly [] => [];
  readonly accelerators = ['tcg'] as const;
  launches = 0;
  alive = 0;
  refuses = false;
  key = 'one';

  inspect(): Promise<MonitorFacts> {
    return Promise.resolve({ version: 'model', notes: [] });
  }

  freezeKey(): Promise<string> {
    return Promise.resolve(this.key);
  }

  launchTemplate(): Promise<null> {
    return Promise.resolve(null);
  }

  async launch({ memory }: MachineRequest): Promise<VirtualMachine> {
    assert.ok(memory.kind === 'freezable');
    await memory.file.write(Buffer.alloc(4096, (this.launches += 1)), 0, 4096, 0);
    this.alive += 1;
    const end = withResolvers<MachineEnd>();
    const link = new Link(this.refuses);
    let alive = true;
    return {
      link,
      ended: end.promise,
      hasSpoken: () => false,
      isStopped: () => false,
      pause: () => Promise.resolve(),
      unpause: () => Promise.resolve(),
      takeStock: () => Promise.resolve(),
      freeze: () => Promise.resolve(Buffer.from('state')),
      destroy: () => {
        if (alive) this.alive -= 1;
        alive = false;
        link.destroy();
        end.resolve({ description: 'gone', lastWords: '' });
        return Promise.resolve();
      },
    };
  }
}

describe('the snapshots of an image', { skip }, () => {
  let monitor: Monitor;
  let directory: string;
  let descriptors: string[];

  function open(manifestSha256 = 'image'): Snapshots {
    const context = {
      monitor,
      accelerator: 'tcg',
      image: { manifestSha256 } as GuestImage,
      workspaces: new WorkspaceImages(spool),
      memories,
      overheadMb: 1,
      timeoutMs: 60_000,
    } as const;
    return new Snapshots(context, new SnapshotStore(directory, spool, memories));
  }

  beforeEach(() => {
    monitor = new Monitor();
    directory = scratch.make(`snapshots-${(places += 1)}`);
    descriptors = openDescriptors();
  });

  it('are made once for all who ask at the same time, and then are there without waiting', async () => {
    const snapshots = open();
    assert.equal(snapshots.get(PROFILE), null);
    const all = await Promise.all(Array.from({ length: 5 }, () => snapshots.ensure(PROFILE)));
    assert.deepEqual([monitor.launches, new Set(all).size, monitor.alive], [1, 1, 0]);
    assert.equal(snapshots.get(PROFILE), all[0]);
    assert.equal(snapshots.find(all[0]?.identity.sha256 ?? ''), all[0]);
    await snapshots[Symbol.asyncDispose]();
    assert.deepEqual([childProcesses(), openDescriptors()], [[], descriptors]);
  });

  it('are frozen where all interpreters wait, and one that has rehearsed is gone', async () => {
    const snapshots = open();
    const { link, profile } = await snapshots.ensure(PROFILE);
    // hello; held and four messages of a rehearsal; then one for each that waits.
    assert.equal(link.received, 6 + HELD_INTERPRETERS);
    assert.deepEqual(profile, PROFILE);
    await snapshots[Symbol.asyncDispose]();
  });

  it('outlive the process that made them', async () => {
    const first = open();
    const { identity } = await first.ensure(PROFILE);
    await first[Symbol.asyncDispose]();
    const second = open();
    assert.deepEqual((await second.ensure(PROFILE)).identity, identity);
    assert.equal(monitor.launches, 1);
    await second[Symbol.asyncDispose]();
  });

  for (const [what, change] of [
    ['image', () => open('other image')],
    ['monitor', () => ((monitor.key = 'two'), open())],
  ] as const) {
    it(`are not used for another ${what}`, async () => {
      const first = open();
      await first.ensure(PROFILE);
      await first[Symbol.asyncDispose]();
      const second = change();
      await second.ensure(PROFILE);
      assert.equal(monitor.launches, 2);
      assert.equal(readdirSync(directory).length, 2);
      await second[Symbol.asyncDispose]();
    });
  }

  it('are made anew when what is stored is damaged', async () => {
    const first = open();
    const { identity } = await first.ensure(PROFILE);
    await first[Symbol.asyncDispose]();
    const [key = ''] = readdirSync(directory);
    await truncate(join(directory, key, 'memory'), 0);
    const second = open();
    assert.notEqual((await second.ensure(PROFILE)).identity.sha256, identity.sha256);
    assert.equal(monitor.launches, 2);
    await second[Symbol.asyncDispose]();
  });

  it('are made anew, also in the store, after one was discarded', async () => {
    const snapshots = open();
    const snapshot = await snapshots.ensure(PROFILE);
    await snapshots.discard(snapshot);
    await snapshots.discard(snapshot);
    assert.deepEqual([snapshots.get(PROFILE), readdirSync(directory)], [null, []]);
    assert.notEqual(await snapshots.ensure(PROFILE), snapshot);
    await snapshots[Symbol.asyncDispose]();
  });

  it('that cannot be made leave nothing behind, and are tried again when asked for', async () => {
    const snapshots = open();
    monitor.refuses = true;
    const both = [snapshots.ensure(PROFILE), snapshots.ensure(PROFILE)];
    await Promise.all(both.map((one) => assert.rejects(one, { code: 'guest_setup_failed' })));
    assert.deepEqual([readdirSync(directory), monitor.alive, monitor.launches], [[], 0, 1]);
    assert.deepEqual([childProcesses(), openDescriptors()], [[], descriptors]);
    monitor.refuses = false;
    assert.ok(await snapshots.ensure(PROFILE));
    await snapshots[Symbol.asyncDispose]();
  });

  it('have room for three profiles beside the first', async () => {
    const snapshots = open();
    for (const diskMb of [1, 2, 3, 4]) {
      assert.equal(snapshots.hasRoom, true);
      await snapshots.ensure({ ...PROFILE, diskMb });
    }
    assert.equal(snapshots.hasRoom, false);
    await snapshots[Symbol.asyncDispose]();
    assert.deepEqual(openDescriptors(), descriptors);
  });

  it('that are being made in the end are given up', async () => {
    const snapshots = open();
    const making = snapshots.ensure(PROFILE);
    const settled = making.then(
      () => null,
      (error: unknown) => error,
    );
    await snapshots[Symbol.asyncDispose]();
    await settled;
    assert.deepEqual([monitor.alive, childProcesses(), openDescriptors()], [0, [], descriptors]);
  });
});
