import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import {
  type ExecutionBackend,
  type ExecutionHandle,
  type ExecutionResult,
  type ExecutionSpec,
  type GuestOrigin,
  type Limits,
} from '../../src/backends/backend.js';
import { ProcessBackend } from '../../src/backends/process/process-backend.js';
import { MARKER_VARIABLE } from '../../src/backends/process/process-tree.js';
import { QemuMonitor, type QemuOptions } from '../../src/backends/qemu/qemu-monitor.js';
import { type GuestTimeouts } from '../../src/backends/vm/guest-execution.js';
import { BootDeadline } from '../../src/backends/vm/boot-deadline.js';
import {
  type Accelerator,
  type MachineRequest,
  type VirtualMachine,
  type VirtualMachineMonitor,
} from '../../src/backends/vm/machine.js';
import { VmBackend } from '../../src/backends/vm/vm-backend.js';
import { hostHelper } from '../../src/base/host-helper.js';
import { asGlasshouseError } from '../../src/base/errors.js';
import {
  hasEnded,
  hasEnvironmentEntry,
  listPids,
  type ProcessEntry,
  readProcess,
} from '../../src/base/process-table.js';
import { uuidv7 } from '../../src/base/uuid.js';
import { defaultImageDirectory } from '../../src/images/locate.js';
import { JAILER, makeMonitor } from '../backends/firecracker/firecracker-binary.js';
import { CollectingSink } from '../collecting-sink.js';

export { CollectingSink };

export const never: AbortSignal = new AbortController().signal;
export const PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin';
export const LIMITS = { memoryMb: 128, cpus: 1, diskMb: 32, pids: 64, outputBytes: 1 << 20 } as const;

/**
 * A directory of the test's own, removed with everything in it at the end of its scope. It also takes in the
 * temporary files of the code under test.
 */
export class ScratchDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'glasshouse-test-'));
  readonly #temporary = process.env['TMPDIR'];

  constructor() {
    process.env['TMPDIR'] = this.make('tmp');
  }

  /** A directory inside it. */
  make(name: string): string {
    const directory = join(this.path, name);
    mkdirSync(directory, { recursive: true });
    return directory;
  }

  /** Every name in it, at any depth. */
  names(): string[] {
    return readdirSync(this.path, { recursive: true, encoding: 'utf8' }).sort();
  }

  [Symbol.dispose](): void {
    if (this.#temporary === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = this.#temporary;
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function commandSpec(
  argv: readonly [string, ...string[]],
  changes: Partial<ExecutionSpec> = {},
): ExecutionSpec {
  return {
    executionId: uuidv7(),
    program: { kind: 'command', argv },
    environment: { PATH },
    inputFiles: [],
    stdin: 'closed',
    stdout: 'capture',
    stderr: 'capture',
    sink: new CollectingSink(),
    limits: LIMITS,
    hold: null,
    fresh: false,
    ...changes,
  };
}

/** Has a monitor start a machine, as nobody does who would give up on it. */
export async function launch(
  monitor: VirtualMachineMonitor,
  request: MachineRequest,
): Promise<VirtualMachine> {
  using deadline = new BootDeadline(never, 120_000);
  return await monitor.launch(request, deadline);
}

export interface QemuParts {
  readonly timeouts?: Partial<GuestTimeouts>;
  readonly imageDirectory?: string;
  readonly spoolDirectory?: string;
  readonly cacheDirectory?: string;
  readonly binary?: string;
  readonly accelerators?: readonly Accelerator[];
  readonly monitor?: VirtualMachineMonitor;
  /** Clones that wait; null, the default: every guest boots. */
  readonly poolSize?: number | null;
  /** Whether clones are copied from a template; as the server does, only where a pool is kept, unless told otherwise. */
  readonly keepsTemplates?: boolean;
  readonly snapshotDirectory?: string;
}

export function makeQemuMonitor(options: Omit<QemuOptions, 'templateLibrary' | 'copyHelper'>): QemuMonitor {
  return new QemuMonitor({
    ...options,
    templateLibrary: hostHelper('monitor-template.so'),
    copyHelper: hostHelper('copy-monitor'),
  });
}

/** The real VmBackend over the real QEMU, with its files in `scratch`. TCG unless told otherwise: no search. */
export function makeQemuBackend(scratch: ScratchDirectory, parts: QemuParts = {}): VmBackend {
  const { binary = 'qemu-system-x86_64', accelerators = ['tcg'], poolSize = null } = parts;
  const spoolDirectory = parts.spoolDirectory ?? scratch.make('spool');
  return new VmBackend({
    monitor: parts.monitor ?? makeQemuMonitor({ binary, accelerators, runtimeDirectory: spoolDirectory }),
    imageDirectory: parts.imageDirectory ?? defaultImageDirectory(),
    spoolDirectory,
    acceleratorFile: join(parts.cacheDirectory ?? scratch.make('cache'), 'accelerator.json'),
    timeouts: { bootMs: 60_000, collectMs: 8_000, ...parts.timeouts },
    warm:
      poolSize === null
        ? null
        : {
            snapshotDirectory: parts.snapshotDirectory ?? scratch.make('snapshots'),
            sealedMemoryHelper: hostHelper('sealed-memory'),
            defaultLimits: LIMITS,
            poolSize,
            makesSnapshots: true,
            makesSnapshotsOnDemand: poolSize > 0,
            keepsTemplates: parts.keepsTemplates ?? poolSize > 0,
          },
  });
}

export interface FirecrackerParts {
  readonly timeouts?: Partial<GuestTimeouts>;
  /** False: it runs without a jail, as it does without root. */
  readonly jailed?: boolean;
  readonly spoolDirectory?: string;
  readonly monitor?: VirtualMachineMonitor;
  /** Clones that wait; null, the default: every guest boots. */
  readonly poolSize?: number | null;
  readonly snapshotDirectory?: string;
  /** What the pool holds clones for. */
  readonly defaultLimits?: Limits;
}

/** The real VmBackend over the real Firecracker, jailed where root runs the test, with its files in `scratch`. */
export function makeFirecrackerBackend(scratch: ScratchDirectory, parts: FirecrackerParts = {}): VmBackend {
  const { poolSize = null, jailed = process.getuid?.() === 0 } = parts;
  return new VmBackend({
    monitor: parts.monitor ?? makeMonitor(scratch, { jailer: jailed ? (JAILER ?? 'jailer') : null }),
    imageDirectory: defaultImageDirectory(),
    spoolDirectory: parts.spoolDirectory ?? scratch.make('spool'),
    acceleratorFile: join(scratch.make('cache'), 'firecracker.json'),
    timeouts: { bootMs: 120_000, collectMs: 20_000, ...parts.timeouts },
    warm:
      poolSize === null
        ? null
        : {
            snapshotDirectory: parts.snapshotDirectory ?? scratch.make('snapshots'),
            sealedMemoryHelper: hostHelper('sealed-memory'),
            defaultLimits: parts.defaultLimits ?? LIMITS,
            poolSize,
            makesSnapshots: true,
            makesSnapshotsOnDemand: poolSize > 0,
            keepsTemplates: poolSize > 0,
          },
  });
}

export interface Candidate {
  readonly name: string;
  /** How its guests come up, of the first execution and of the last. */
  readonly start: GuestOrigin['start'];
  create(scratch: ScratchDirectory): ExecutionBackend;
}

export const CANDIDATES: readonly Candidate[] = [
  { name: 'process', start: 'cold', create: () => new ProcessBackend() },
  { name: 'qemu', start: 'cold', create: (scratch) => makeQemuBackend(scratch) },
  { name: 'qemu-clones', start: 'restored', create: (scratch) => makeQemuBackend(scratch, { poolSize: 0 }) },
  { name: 'firecracker', start: 'cold', create: (scratch) => makeFirecrackerBackend(scratch) },
  {
    name: 'firecracker-unjailed',
    start: 'cold',
    create: (scratch) => makeFirecrackerBackend(scratch, { jailed: false }),
  },
  {
    name: 'firecracker-clones',
    start: 'restored',
    create: (scratch) => makeFirecrackerBackend(scratch, { poolSize: 0 }),
  },
];

/** Why the backend cannot run here; null when it can. Anything but a lack of this machine is thrown. */
export async function reasonToSkip(backend: ExecutionBackend): Promise<string | null> {
  try {
    await backend.prepare(never);
    return null;
  } catch (error) {
    const failure = asGlasshouseError(error);
    if (['tool_missing', 'image_missing', 'backend_unavailable'].includes(failure.code))
      return failure.message;
    throw failure;
  }
}

export interface Ran {
  readonly handle: ExecutionHandle;
  readonly result: ExecutionResult;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** Starts, waits and cleans up. */
export async function runOn(
  backend: ExecutionBackend,
  argv: readonly [string, ...string[]],
  changes: Partial<ExecutionSpec> = {},
): Promise<Ran> {
  const sink = new CollectingSink();
  const handle = await backend.start(commandSpec(argv, { sink, ...changes }), never);
  try {
    const result = await backend.wait(handle);
    return { handle, result, stdout: sink.bytes('stdout'), stderr: sink.bytes('stderr') };
  } finally {
    await backend.cleanup(handle);
  }
}

/** The living processes that carry the mark of an execution. */
export function markedProcesses(executionId: string): number[] {
  return livingProcesses((entry) => hasEnvironmentEntry(entry, `${MARKER_VARIABLE}=${executionId}`));
}

/** The living processes that this test process started. */
export function childProcesses(): number[] {
  return livingProcesses((entry) => entry.parentPid === process.pid);
}

function livingProcesses(matches: (entry: ProcessEntry) => boolean): number[] {
  return listPids().filter((pid) => {
    const entry = readProcess(pid);
    return entry !== null && !hasEnded(entry) && matches(entry);
  });
}

/** What the open descriptors of this process lead to, sorted; numbers of pipes and sockets are left out. */
export function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd')
    .flatMap((name) => {
      try {
        return [readlinkSync(`/proc/self/fd/${name}`).replace(/:\[\d+\]$/, '')];
      } catch {
        return []; // The descriptor of the listing itself is gone again.
      }
    })
    .sort();
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function candidate(name: string): Candidate {
  const found = CANDIDATES.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no backend ${name} to test`);
  return found;
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes of buffers that this process really holds: what the collector has not come round to does not count. */
export function heldBufferBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}
