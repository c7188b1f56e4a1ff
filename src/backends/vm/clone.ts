import { asGlasshouseError } from '../../base/errors.js';
import { clonedGuest, expectMessage, type Guest } from './guest.js';
import { describeRehearsal } from './guest-session.js';
import { CLONE_REHEARSAL, REHEARSAL_PIDS } from './rehearsal.js';
import { type Snapshot } from './snapshot.js';
import { type SnapshotContext } from './snapshot-builder.js';

const MIB = 1024 * 1024;

/** Starts a machine that goes on from the snapshot; nobody has used it and nobody else will. Throws `vmm_failed`. */
export function restoreClone(context: SnapshotContext, snapshot: Snapshot): Promise<Guest> {
  return restore(context, snapshot, 'restored');
}

async function restore(
  context: SnapshotContext,
  snapshot: Snapshot,
  start: 'restored' | 'pooled',
): Promise<Guest> {
  await using workspace = await context.workspaces.copy(snapshot.workspace);
  await using state = await snapshot.openState();
  const machine = await context.monitor.launch({
    accelerator: context.accelerator,
    memoryMb: snapshot.memory.sizeBytes / MIB,
    cpus: snapshot.profile.cpus,
    image: context.image,
    workspace,
    memory: { kind: 'clone', file: snapshot.memory.file, state },
  });
  return clonedGuest(machine, snapshot.link, { start, snapshot: snapshot.identity });
}

/**
 * The same, with a rehearsal behind it: its first real program no longer pays for what an emulator has to translate
 * and a kernel has to map. It is paused, so that waiting costs nothing. Throws what a boot throws.
 */
export async function restoreRehearsedClone(context: SnapshotContext, snapshot: Snapshot): Promise<Guest> {
  const guest = await restore(context, snapshot, 'pooled');
  const { machine, connection } = guest;
  const deadline = setTimeout(() => void machine.destroy(), context.timeoutMs);
  try {
    const { memoryMb } = snapshot.profile;
    await connection.sendAll(describeRehearsal(CLONE_REHEARSAL, memoryMb, REHEARSAL_PIDS));
    await expectMessage(connection, 'rehearsed');
    await machine.pause();
    return guest;
  } catch (error) {
    await machine.destroy();
    throw asGlasshouseError(error, 'vmm_failed');
  } finally {
    clearTimeout(deadline);
  }
}
