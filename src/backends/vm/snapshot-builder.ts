import { type FileHandle } from 'node:fs/promises';

import { asGlasshouseError } from '../../base/errors.js';
import { type LinkPosition } from '../../guest-link/connection.js';
import { type GuestImage } from '../../images/locate.js';
import { BootDeadline, bringUp } from './boot-deadline.js';
import { type GuestMemory, type MemoryKeeper } from './guest-memory.js';
import { bootingGuest, expectMessage, type Guest } from './guest.js';
import { describeHeldInterpreter } from './guest-session.js';
import { type Accelerator, type MachineRequest, type VirtualMachineMonitor } from './machine.js';
import { HELD_INTERPRETERS, REHEARSAL_PIDS, rehearseProgram, SNAPSHOT_REHEARSAL } from './rehearsal.js';
import { type Profile } from './snapshot.js';
import { type ImageTemplate, type WorkspaceImages } from './workspace-image.js';

const MIB = 1024 * 1024;

export interface SnapshotContext {
  readonly monitor: VirtualMachineMonitor;
  readonly accelerator: Accelerator;
  readonly image: GuestImage;
  readonly workspaces: WorkspaceImages;
  readonly memories: MemoryKeeper;
  /** Memory of a machine beside the program's, in MiB. */
  readonly overheadMb: number;
  /** Within which a guest must have booted and its interpreters wait, in milliseconds. */
  readonly timeoutMs: number;
}

/** A machine that was just frozen; its memory is not kept for clones yet. */
export interface FrozenGuest {
  readonly memory: GuestMemory;
  readonly state: Uint8Array;
  readonly workspace: ImageTemplate;
  readonly link: LinkPosition;
}

/**
 * Boots a guest, lets interpreters wait in it, and freezes it. The caller disposes the memory. Throws what a boot
 * throws.
 */
export async function freezeGuest(
  context: SnapshotContext,
  profile: Profile,
  signal: AbortSignal,
): Promise<FrozenGuest> {
  const memoryMb = profile.memoryMb + context.overheadMb;
  const memory = await context.memories.create(memoryMb * MIB);
  try {
    await using workspace = await context.workspaces.create(profile.diskMb);
    return { memory, ...(await freezeIn(context, profile, memory, workspace, signal)) };
  } catch (error) {
    await memory[Symbol.asyncDispose]();
    throw asGlasshouseError(error, 'vmm_failed');
  }
}

async function freezeIn(
  context: SnapshotContext,
  profile: Profile,
  memory: GuestMemory,
  workspace: FileHandle,
  signal: AbortSignal,
): Promise<Omit<FrozenGuest, 'memory'>> {
  const { monitor, accelerator, image } = context;
  using deadline = new BootDeadline(signal, context.timeoutMs);
  const request: MachineRequest = {
    accelerator,
    memoryMb: memory.sizeBytes / MIB,
    cpus: profile.cpus,
    diskMb: profile.diskMb,
    image,
    workspace,
    memory: { kind: 'freezable', file: memory.file },
  };
  const machine = await monitor.launch(request, deadline);
  try {
    const guest = bootingGuest(machine);
    const state = await bringUp(machine, deadline, async () => {
      await prepareInterpreters(guest, profile);
      return machine.freeze();
    });
    return {
      state,
      workspace: await context.workspaces.templateOf(workspace, profile.diskMb),
      link: guest.connection.position,
    };
  } finally {
    await machine.destroy();
  }
}

/** One to warm the guest up with, then those that stay. */
async function prepareInterpreters({ connection }: Guest, profile: Profile): Promise<void> {
  const hold = async (): Promise<void> => {
    await connection.sendAll(describeHeldInterpreter(profile.memoryMb, REHEARSAL_PIDS));
    await expectMessage(connection, 'held');
  };
  await expectMessage(connection, 'hello');
  await hold();
  await rehearseProgram(connection, SNAPSHOT_REHEARSAL, profile.memoryMb);
  for (let held = 0; held < HELD_INTERPRETERS; held += 1) await hold();
}
