import { type FileHandle } from 'node:fs/promises';
import { type Duplex } from 'node:stream';

import { type GuestImage } from '../../images/locate.js';

/** What executes the guest's instructions: the processor itself, or QEMU's translator. */
export type Accelerator = 'kvm' | 'tcg';

/** One virtual machine, as a monitor is asked for it. */
export interface MachineRequest {
  readonly accelerator: Accelerator;
  readonly memoryMb: number;
  readonly cpus: number;
  readonly image: GuestImage;
  /** The ext4 image that becomes /workspace; the machine may write it, the caller closes it. */
  readonly workspace: FileHandle;
}

/** A monitor process and the guest link into its guest. */
export interface VirtualMachine {
  readonly link: Duplex;
  /** Resolves when the monitor process has ended, with what is known about why. Never rejects. */
  readonly ended: Promise<MachineEnd>;
  /** True while something outside holds the monitor process stopped (SIGSTOP, a debugger). */
  isStopped(): boolean;
  /** Ends the machine at once and resolves when it is gone. Idempotent. */
  destroy(): Promise<void>;
}

export interface MachineEnd {
  /** For people: exit code or signal of the monitor. */
  readonly description: string;
  /** The last lines of the guest's console and the monitor's own messages; hostile, made printable. */
  readonly lastWords: string;
}

/** What a monitor says about itself on this machine. */
export interface MonitorFacts {
  /** For example `QEMU 7.2.22`. */
  readonly version: string;
  /** What could not be locked down here, for the receipt. */
  readonly notes: readonly string[];
}

/** Makes virtual machines. The one seam between what QEMU and Firecracker share and what they do not. */
export interface VirtualMachineMonitor {
  readonly name: string;
  /** What it could use, best first; whether a guest really boots on it is for others to try. */
  readonly accelerators: readonly Accelerator[];
  /** Finds the program. Throws `tool_missing` with what to install. */
  inspect(): Promise<MonitorFacts>;
  /** Starts one machine; it boots from here on. Throws `vmm_failed`. */
  launch(request: MachineRequest): Promise<VirtualMachine>;
}
