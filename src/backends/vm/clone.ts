import { type FileHandle } from 'node:fs/promises';

import { asGlasshouseError } from '../../base/errors.js';
import { BootDeadline, NOBODY } from './boot-deadline.js';
import { clonedGuest, type Guest } from './guest.js';
import { type MachineRequest } from './machine.js';
import { CLONE_REHEARSALS, rehearseProgram } from './rehearsal.js';
import { type Snapshot } from './snapshot.js';
import { type SnapshotContext } from './snapshot-builder.js';

const MIB = 1024 * 1024;

/** Starts a machine that goes on from the snapshot; nobody has used it and nobody else will. Throws what launching does. */
export function restoreClone(
  context: SnapshotContext,
  snapshot: Snapshot,
  deadline: BootDeadline,
): Promise<Guest> {
  return restore(context, snapshot, 'restored', deadline);
}

async function restore(
  context: SnapshotContext,
  snapshot: Snapshot,
  start: 'restored' | 'pooled',
  deadline: BootDeadline,
): Promise<Guest> {
  await using workspace = await context.workspaces.copy(snapshot.workspace);
  await using state = await snapshot.openState();
  const machine = await context.monitor.launch(cloneRequest(context, snapshot, workspace, state), deadline);
  return clonedGuest(machine, snapshot.link, { start, snapshot: snapshot.identity });
}

/** What a monitor is asked for when a clone is wanted. */
export function cloneRequest(
  context: SnapshotContext,
  snapshot: Snapshot,
  workspace: FileHandle,
  state: FileHandle,
): MachineRequest {
  return {
    accelerator: context.accelerator,
    memoryMb: snapshot.memory.sizeBytes / MIB,
    cpus: snapshot.profile.cpus,
    diskMb: snapshot.profile.diskMb,
    image: context.image,
    workspace,
    memory: { kind: 'clone', file: snapshot.memory.file, state },
  };
}

/** One that has a rehearsal behind it, and is paused. Throws what a boot throws. */
export async function restoreRehearsedClone(context: SnapshotContext, snapshot: Snapshot): Promise<Guest> {
  using deadline = new BootDeadline(NOBODY, context.timeoutMs);
  const guest = await restore(context, snapshot, 'pooled', deadline);
  await rehearse(context, snapshot, guest, CLONE_REHEARSALS);
  return guest;
}

/**
 * Has a clone do what its first real program would pay for otherwise: what an emulator has to translate and a kernel
 * has to map. It is paused then, so that waiting costs nothing. A clone that fails is ended.
 */
export async function rehearse(
  context: SnapshotContext,
  snapshot: Snapshot,
  guest: Guest,
  programs: readonly string[],
): Promise<void> {
  const { machine, connection } = guest;
  const deadline = setTimeout(() => void machine.destroy(), context.timeoutMs);
  try {
    for (const program of programs) await rehearseProgram(connection, program, snapshot.profile.memoryMb);
    await machine.pause();
  } catch (error) {
    await machine.destroy();
    throw asGlasshouseError(error, 'vmm_failed');
  } finally {
    clearTimeout(deadline);
  }
}
