import { type FileHandle } from 'node:fs/promises';
import { type Duplex } from 'node:stream';

import { type BackendGauge } from '../backend.js';
import { type GuestImage } from '../../images/locate.js';
import { type BootDeadline } from './boot-deadline.js';

/** What executes the guest's instructions: the processor itself, or QEMU's translator. */
export type Accelerator = 'kvm' | 'tcg';

export interface MachineShape {
  readonly accelerator: Accelerator;
  readonly memoryMb: number;
  readonly cpus: number;
  /** Of its workspace. */
  readonly diskMb: number;
}

/** One virtual machine, as a monitor is asked for it. */
export interface MachineRequest extends MachineShape {
  readonly image: GuestImage;
  /** The ext4 image that becomes /workspace; the machine may write it, the caller closes it. */
  readonly workspace: FileHandle;
  readonly memory: MachineMemory;
}

/** Where the memory of a machine is, and so what becomes of it. The caller keeps and closes the files. */
export type MachineMemory =
  /** It boots in memory of its own, which goes with it. */
  | { readonly kind: 'own' }
  /** It boots in `file` (of exactly the machine's size), so that it can be frozen. */
  | { readonly kind: 'freezable'; readonly file: FileHandle }
  /** It goes on where the machine was frozen that left `file` and `state`; what it writes, it writes to a copy. */
  | { readonly kind: 'clone'; readonly file: FileHandle; readonly state: FileHandle };

/** A monitor process and the guest link into its guest. */
export interface VirtualMachine {
  readonly link: Duplex;
  /** Resolves when the monitor process has ended, with what is known about why. Never rejects. */
  readonly ended: Promise<MachineEnd>;
  /** True when anything has come over the guest's console. */
  hasSpoken(): boolean;
  /** True while something outside holds the monitor process stopped (SIGSTOP, a debugger). */
  isStopped(): boolean;
  /**
   * For a machine with `freezable` memory, once: ends it and resolves to the state of its devices; its memory is then
   * complete. Throws `vmm_failed`.
   */
  freeze(): Promise<Uint8Array>;
  /**
   * For a clone: its guest stands still, at no cost, and does not notice, until unpause(). Rejects when the machine has
   * ended.
   */
  pause(): Promise<void>;
  unpause(): Promise<void>;
  /**
   * For a machine whose guest has done its work: has the monitor say what it has counted. Bounded in time; never rejects.
   */
  takeStock(): Promise<void>;
  /** Ends the machine at once and resolves when it is gone. Idempotent; never rejects. */
  destroy(): Promise<void>;
}

/** A clone that stands still for good, so that copies of it go on in its place. */
export interface MachineTemplate {
  /** Whoever ends it ends its copies. */
  readonly machine: VirtualMachine;
  /**
   * One more machine at the same point, which stands still as well; `workspace` takes the place of the template's, whose
   * contents it must have. To be called after machine.pause(). Throws `vmm_failed`. `isToWait`: it has at once, as its
   * own, the memory that was foreseen.
   */
  copy(workspace: FileHandle, isToWait: boolean): Promise<VirtualMachine>;
  /**
   * Finds out what the memory is that a program will write to: what `run` makes a copy write to. Does nothing where that
   * cannot be seen.
   */
  foresee(copy: VirtualMachine, run: () => Promise<void>): Promise<void>;
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
  /** `sealed`: it inherits descriptors of memory. `file`: it opens memory by name, in a file. */
  readonly memoryKind: 'sealed' | 'file';
  /** Memory of a monitor itself beside its guest's, in MiB. */
  readonly overheadMb: number;
  /** How this machine is set up for it, a line each; empty where nobody says how it should be. */
  hostFindings(): readonly string[];
  /** What its machines have counted so far; the same names at every time. */
  gauges(): readonly BackendGauge[];
  /** Finds the program. Throws `tool_missing` with what to install. */
  inspect(): Promise<MonitorFacts>;
  /** What a frozen machine depends on beside its image: program, arguments, processor. A text that is compared. */
  freezeKey(shape: MachineShape): Promise<string>;
  /**
   * Starts one machine; it boots, or goes on, from here on. Throws `vmm_failed`, or what the deadline says when that
   * comes first; then nothing is left of the machine.
   */
  launch(request: MachineRequest, deadline: BootDeadline): Promise<VirtualMachine>;
  /** The same for a clone that shall be copied; null: this monitor makes no copies of such machines. */
  launchTemplate(request: MachineRequest): Promise<MachineTemplate | null>;
}
