import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';

import { systemErrorCode } from '../../base/errors.js';
import { type MachineShape } from '../vm/machine.js';
import { CGROUP_PARENT, CGROUP_ROOT } from './cell.js';
import { FILES } from './machine-setup.js';

const MIB = 1024 * 1024;
/** Descriptors that a Firecracker needs at most. */
const MAX_OPEN_FILES = 256;
/** Threads: one for each virtual CPU, one for the machine and one for the API; and the kernel's own for them. */
const MAX_THREADS = 64;
/** Memory of Firecracker itself beside its guest's, and of the kernel for it, at most. */
const VMM_MEMORY_MB = 64;
/** cgroup-v2, "cpu.max": of one CPU, in microseconds. */
const CPU_PERIOD_US = 100_000;
const CONTROLLERS = ['cpu', 'memory', 'pids'];

/** Less is worth saying than a debugger would. What it says before it has a log goes to stdout, with the guest's console. */
const FIRECRACKER_ARGUMENTS = ['--api-sock', FILES.api, '--level', 'Warning'];

export interface JailOptions {
  readonly jailer: string;
  readonly firecracker: string;
  readonly base: string;
  readonly name: string;
  readonly user: number;
  readonly shape: MachineShape;
  /** Size of the largest file that the machine may write to. */
  readonly fileBytes: number;
  readonly hasCgroups: boolean;
  /** Whether a cgroup can bound how much of it the kernel may swap out. */
  readonly boundsSwap: boolean;
}

/**
 * The jailer with what it needs, then Firecracker's own arguments. It changes into its chroot and becomes its user; its
 * namespaces are those that it is started in, because a jailer that makes them leaves nobody behind to watch.
 */
export function jailedCommand(options: JailOptions): string[] {
  const { jailer, firecracker, base, name, user, shape, fileBytes, hasCgroups, boundsSwap } = options;
  return [
    jailer,
    ...['--id', name, '--exec-file', firecracker, '--chroot-base-dir', base],
    ...['--uid', String(user), '--gid', String(user)],
    ...['--resource-limit', `no-file=${MAX_OPEN_FILES}`],
    ...['--resource-limit', `fsize=${Math.max(fileBytes, shape.memoryMb * MIB)}`],
    ...(hasCgroups ? cgroupArguments(shape, boundsSwap) : []),
    ...['--', ...FIRECRACKER_ARGUMENTS],
  ];
}

/** Without a jail: the same user as ours, whose files it can all reach. */
export function freeCommand(firecracker: string, name: string): string[] {
  return [firecracker, '--id', name, ...FIRECRACKER_ARGUMENTS];
}

function cgroupArguments({ cpus, memoryMb }: MachineShape, boundsSwap: boolean): string[] {
  const settings = [
    // Memory that was swapped out would not count, and what guests hold would be on a disk.
    ...(boundsSwap ? ['memory.swap.max=0'] : []),
    `memory.max=${(memoryMb + VMM_MEMORY_MB) * MIB}`,
    `pids.max=${MAX_THREADS}`,
    // One more than the guest has: the devices are served beside it.
    `cpu.max=${(cpus + 1) * CPU_PERIOD_US} ${CPU_PERIOD_US}`,
  ];
  return [
    ...['--cgroup-version', '2', '--parent-cgroup', CGROUP_PARENT],
    ...settings.flatMap((setting) => ['--cgroup', setting]),
  ];
}

/**
 * Enables the controllers for groups where nobody has done it yet, as the jailer would. A host whose own processes are in
 * the way, or that gives us no hierarchy to write to, refuses, which whyNoCgroups() then says.
 */
export function enableCgroups(root: string = CGROUP_ROOT): void {
  try {
    if (whyNoCgroups(root) !== null) {
      const controllers = CONTROLLERS.map((name) => `+${name}`).join(' ');
      writeFileSync(`${root}/cgroup.subtree_control`, controllers, { flag: 'r+' });
    }
    // The jailer would make it with the first machine; what its files are is asked before that.
    mkdirSync(`${root}/${CGROUP_PARENT}`, { recursive: true });
  } catch (error) {
    if (systemErrorCode(error) === null) throw error;
  }
}

/** False where the kernel does not account for swap. */
export function boundsSwap(root: string = CGROUP_ROOT): boolean {
  return existsSync(`${root}/${CGROUP_PARENT}/memory.swap.max`);
}

/** Why machines get no cgroup here; null when they do. */
export function whyNoCgroups(root: string = CGROUP_ROOT): string | null {
  let enabled: string[];
  try {
    enabled = readFileSync(`${root}/cgroup.subtree_control`, 'utf8').trim().split(' ');
    accessSync(root, constants.W_OK);
  } catch (error) {
    if (systemErrorCode(error) === null) throw error;
    return 'no cgroup v2 limits: there is no hierarchy that could be written to';
  }
  const missing = CONTROLLERS.filter((controller) => !enabled.includes(controller));
  return missing.length === 0
    ? null
    : `no cgroup v2 limits: the controllers ${missing.join(', ')} are not enabled for groups`;
}
