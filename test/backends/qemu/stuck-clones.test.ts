import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import { type BootDeadline, bringUp } from '../../../src/backends/vm/boot-deadline.js';
import { type MachineRequest, type VirtualMachine } from '../../../src/backends/vm/machine.js';
import {
  childProcesses,
  commandSpec,
  makeQemuBackend,
  makeQemuMonitor,
  never,
  openDescriptors,
  reasonToSkip,
  ScratchDirectory,
} from '../../contract/subject.js';
import { ReachableMonitor } from '../../hostile/reachable-monitor.js';

const scratch = new ScratchDirectory();
const skip = await reasonToSkip(makeQemuBackend(scratch));
after(() => {
  scratch[Symbol.dispose]();
});

/** A real monitor of which each clone takes for ever to come up, once somebody wants to hear of it. */
class StuckMonitor extends ReachableMonitor {
  readonly launched: string[] = [];
  onStuck: (() => void) | null = null;

  override async launch(request: MachineRequest, deadline: BootDeadline): Promise<VirtualMachine> {
    this.launched.push(request.memory.kind);
    const machine = await super.launch(request, deadline);
    if (this.onStuck === null || request.memory.kind !== 'clone') return machine;
    this.onStuck();
    return bringUp(machine, deadline, async () => {
      await machine.ended;
      throw new Error('the machine has ended');
    });
  }
}

describe('a clone that does not come up', { skip: skip ?? false, timeout: 180_000 }, () => {
  it('is ended with its caller, for whom no other machine is started', async () => {
    const spoolDirectory = scratch.make('spool');
    const monitor = new StuckMonitor(
      makeQemuMonitor({
        binary: 'qemu-system-x86_64',
        accelerators: ['tcg'],
        runtimeDirectory: spoolDirectory,
      }),
    );
    const backend = makeQemuBackend(scratch, { monitor, spoolDirectory, poolSize: 0 });
    await backend.prepare(never);
    const { snapshot } = backend.describe();
    assert.notEqual(snapshot, null);
    const before = { processes: childProcesses(), descriptors: openDescriptors() };
    const caller = new AbortController();
    monitor.launched.length = 0;
    monitor.onStuck = () => {
      caller.abort();
    };
    await assert.rejects(backend.start(commandSpec(['true']), caller.signal), { code: 'canceled' });
    assert.deepEqual(monitor.launched, ['clone']);
    assert.deepEqual({ processes: childProcesses(), descriptors: openDescriptors() }, before);
    assert.deepEqual(backend.describe().snapshot, snapshot, 'the snapshot is not to blame');
    await backend.close();
  });
});
