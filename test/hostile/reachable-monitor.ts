import assert from 'node:assert/strict';

import { lineOfDescent } from '../../src/backends/firecracker/firecracker-process.js';
import { type BackendGauge } from '../../src/backends/backend.js';
import { type BootDeadline } from '../../src/backends/vm/boot-deadline.js';
import {
  type MachineRequest,
  type MachineShape,
  type MachineTemplate,
  type MonitorFacts,
  type VirtualMachine,
  type VirtualMachineMonitor,
} from '../../src/backends/vm/machine.js';
import { childProcesses } from '../contract/subject.js';

/** A real monitor, which a test can reach between its launch and the first look at it. */
export class ReachableMonitor implements VirtualMachineMonitor {
  readonly name: string;
  readonly memoryKind: VirtualMachineMonitor['memoryKind'];
  readonly overheadMb: number;
  readonly accelerators: VirtualMachineMonitor['accelerators'];
  readonly #real: VirtualMachineMonitor;
  /** Called while the machine boots, with the monitor's own process: the last of those that started each other. */
  onLaunched: ((pid: number) => void) | null = null;

  constructor(real: VirtualMachineMonitor) {
    this.name = real.name;
    this.memoryKind = real.memoryKind;
    this.overheadMb = real.overheadMb;
    this.accelerators = real.accelerators;
    this.#real = real;
  }

  hostFindings(): readonly string[] {
    return this.#real.hostFindings();
  }

  gauges(): readonly BackendGauge[] {
    return this.#real.gauges();
  }

  inspect(): Promise<MonitorFacts> {
    return this.#real.inspect();
  }

  freezeKey(shape: MachineShape): Promise<string> {
    return this.#real.freezeKey(shape);
  }

  launchTemplate(request: MachineRequest): Promise<MachineTemplate | null> {
    return this.#real.launchTemplate(request);
  }

  async launch(request: MachineRequest, deadline: BootDeadline): Promise<VirtualMachine> {
    const before = childProcesses();
    const machine = await this.#real.launch(request, deadline);
    const [pid] = childProcesses().filter((child) => !before.includes(child));
    assert.ok(pid !== undefined, 'the monitor runs');
    this.onLaunched?.(lineOfDescent(pid).at(-1) ?? pid);
    return machine;
  }
}
