import { type FileHandle } from 'node:fs/promises';

import { type LinkPosition } from '../../guest-link/connection.js';
import { type Limits, type SnapshotIdentity } from '../backend.js';
import { type GuestMemory } from './guest-memory.js';
import { type ImageTemplate } from './workspace-image.js';

/** What executions must have in common to be cloned from one snapshot. */
export interface Profile {
  /** Of the program, in MiB; smaller limits are enforced in the guest. */
  readonly memoryMb: number;
  readonly cpus: number;
  readonly diskMb: number;
}

/** A guest in the moment before it is told what to run: it has booted, and interpreters wait in it. */
export interface Snapshot extends AsyncDisposable {
  readonly identity: SnapshotIdentity;
  readonly profile: Profile;
  /** Every clone maps it, and none can change it. */
  readonly memory: GuestMemory;
  /** Of the machine's devices. Clones read it to the end, each through a descriptor of its own. */
  openState(): Promise<FileHandle>;
  readonly workspace: ImageTemplate;
  readonly link: LinkPosition;
}

const SMALLEST_MEMORY_MB = 128;

/** The profile that serves these limits: memory is rounded up to a power of two, so that there are few. */
export function profileFor(limits: Limits): Profile {
  let memoryMb = SMALLEST_MEMORY_MB;
  while (memoryMb < limits.memoryMb) memoryMb *= 2;
  return { memoryMb, cpus: limits.cpus, diskMb: limits.diskMb };
}

export function profileName({ memoryMb, cpus, diskMb }: Profile): string {
  return `memory ${memoryMb} MiB, ${cpus} CPUs, workspace ${diskMb} MiB`;
}
