import os, { constants } from 'node:os';

import { asGlasshouseError, type ErrorCode, GlasshouseError } from '../../base/errors.js';
import { availableMemoryMb } from '../../base/available-memory.js';
import { thisProcess } from '../../base/process-identity.js';
import { type GuestImage, isUnchanged, openImage } from '../../images/locate.js';
import {
  type BackendDescription,
  type BackendGauge,
  type ExecutionBackend,
  type ExecutionHandle,
  type ExecutionResult,
  type ExecutionSpec,
  type Footprint,
  type Limits,
  type ProbeReport,
} from '../backend.js';
import { type AcceleratorChoice, recallAccelerator, rememberAccelerator } from './accelerator.js';
import { FileMemories, SealedMemories } from './guest-memory.js';
import { GuestExecution, type GuestTimeouts } from './guest-execution.js';
import { bootingGuest, type Guest } from './guest.js';
import { BootDeadline } from './boot-deadline.js';
import { type MachineRequest, type MonitorFacts, type VirtualMachineMonitor } from './machine.js';
import { SnapshotStore } from './snapshot-store.js';
import { CLONE_SOURCES, WarmStart } from './warm-start.js';
import { WorkspaceImages } from './workspace-image.js';

/** Memory that the guest's kernel, guest init and file caches need beside the program's own, in MiB. */
export const GUEST_OVERHEAD_MB = 96;

export interface VmBackendOptions {
  readonly monitor: VirtualMachineMonitor;
  readonly imageDirectory: string;
  /** Existing directory for anonymous files: workspaces and what comes out of them. */
  readonly spoolDirectory: string;
  /** Where the choice of an accelerator is remembered until the machine restarts. */
  readonly acceleratorFile: string;
  readonly timeouts: GuestTimeouts;
  /** Null: every guest boots. */
  readonly warm: WarmOptions | null;
}

export interface WarmOptions {
  /** Existing directory, closed to other users. */
  readonly snapshotDirectory: string;
  /** Path of host/sealed-memory. */
  readonly sealedMemoryHelper: string;
  readonly defaultLimits: Limits;
  readonly poolSize: number;
  /** False: a snapshot that others have made is used, none is made. */
  readonly makesSnapshots: boolean;
  /** True: also for other limits, once somebody has asked for them, and in place of one that was damaged. */
  readonly makesSnapshotsOnDemand: boolean;
  /** True: a machine stands by that clones are copied from, where the monitor can. */
  readonly keepsTemplates: boolean;
}

const ADVICE: Readonly<Partial<Record<ErrorCode, string>>> = {
  tool_missing:
    'Install it; for QEMU: apt-get install qemu-system-x86; for Firecracker: glasshouse setup firecracker',
  image_missing: 'Run: glasshouse image build',
  image_corrupt: 'Run: glasshouse image build',
};

/** In milliseconds, in order. */
type BootStages = Readonly<Record<string, number>>;

/** What may be wrong with a clone and not with a machine that boots. */
const FAILURES_OF_A_CLONE: readonly ErrorCode[] = [
  'vmm_failed',
  'guest_lost',
  'guest_link_violation',
  'guest_setup_failed',
  'boot_timeout',
];
/** One part in so many of the host's memory stays free of clones that wait. */
const RESERVED_SHARE = 16;
const MIB = 1024 * 1024;

interface Prepared {
  readonly image: GuestImage;
  readonly facts: MonitorFacts;
  readonly choice: AcceleratorChoice;
  /** Null when every guest shall boot. */
  readonly warmStart: WarmStart | null;
}

/** An ExecutionBackend over any virtual machine monitor. */
export class VmBackend implements ExecutionBackend {
  readonly name: string;
  readonly #options: VmBackendOptions;
  readonly #workspaces: WorkspaceImages;
  readonly #executions = new Map<ExecutionHandle, GuestExecution>();
  #prepared: Prepared | null = null;
  #preparing: Promise<Prepared> | null = null;

  constructor(options: VmBackendOptions) {
    this.name = options.monitor.name;
    this.#options = options;
    this.#workspaces = new WorkspaceImages(options.spoolDirectory);
  }

  /** Looks at the image every time: it may have been rebuilt, or damaged, since the last execution. */
  async prepare(signal: AbortSignal): Promise<void> {
    if (this.#prepared !== null && isUnchanged(this.#prepared.image)) return;
    const image = await openImage(this.#options.imageDirectory);
    while (this.#prepared?.image.fileIdentity !== image.fileIdentity) {
      this.#preparing ??= this.#inspect(image, signal).finally(() => {
        this.#preparing = null;
      });
      try {
        this.#prepared = await this.#preparing;
      } catch (error) {
        // Who shares a preparation with a caller that went away begins anew.
        if (asGlasshouseError(error).code !== 'canceled' || signal.aborted) throw error;
      }
    }
    // Whose preparation it was is chance: it went on for the others.
    if (signal.aborted)
      throw new GlasshouseError('canceled', 'Canceled while the backend was prepared.', {
        cause: signal.reason,
      });
  }

  describe(): BackendDescription {
    const { image, facts, choice, warmStart } = this.#requirePrepared();
    return {
      name: this.name,
      isolation: `vm-${choice.accelerator}`,
      vmmVersion: facts.version,
      enforcesLimits: true,
      imageDigests: image.digests,
      snapshot: warmStart?.identity ?? null,
      notes: [...facts.notes, ...choice.notes, ...(warmStart?.problems ?? [])],
    };
  }

  footprint({ memoryMb, cpus }: Limits): Footprint {
    return { memoryMb: memoryMb + GUEST_OVERHEAD_MB + this.#options.monitor.overheadMb, cpus };
  }

  gauges(): readonly BackendGauge[] {
    return [...(this.#prepared?.warmStart?.gauges() ?? []), ...this.#options.monitor.gauges()];
  }

  async probe(signal: AbortSignal): Promise<ProbeReport> {
    const { monitor, imageDirectory, acceleratorFile } = this.#options;
    const about = { backend: this.name, isolates: true, findings: monitor.hostFindings() };
    try {
      const image = await openImage(imageDirectory);
      const facts = await monitor.inspect();
      const search = { monitor, image, workspaces: this.#workspaces, signal };
      const choice = await rememberAccelerator(search, acceleratorFile, cacheKey(facts, image));
      const accelerated = choice.accelerator === 'kvm';
      return {
        ...about,
        verdict: accelerated ? 'works' : 'works_without_acceleration',
        detail: [
          `${facts.version} booted a guest on ${choice.accelerator}`,
          ...facts.notes,
          ...choice.notes,
        ].join('; '),
        advice: accelerated
          ? null
          : 'For speed and a hardware boundary, use a machine where KVM can run a guest.',
      };
    } catch (error) {
      const failure = asGlasshouseError(error);
      return {
        ...about,
        verdict: 'cannot',
        detail: failure.message,
        advice: ADVICE[failure.code] ?? 'See the message; docs/errors.md explains its code.',
      };
    }
  }

  async start(spec: ExecutionSpec, signal: AbortSignal): Promise<ExecutionHandle> {
    refuseInheritedStreams(spec);
    const { warmStart } = this.#requirePrepared();
    const begunAt = performance.now();
    let before: BootStages = {};
    for (const source of spec.fresh ? [] : CLONE_SOURCES) {
      using deadline = new BootDeadline(signal, this.#options.timeouts.bootMs);
      const askedAt = performance.now();
      const clone = (await warmStart?.take(spec.limits, source, deadline)) ?? 'none';
      if (clone === 'failed') before = { failed_clone: performance.now() - begunAt };
      if (clone === 'failed' && signal.aborted) throw deadline.failure;
      if (typeof clone === 'string') continue;
      const clonedAt = performance.now();
      try {
        return await this.#begin(clone, spec, deadline, clonedAt, { ...before, clone: clonedAt - askedAt });
      } catch (error) {
        if (!FAILURES_OF_A_CLONE.includes(asGlasshouseError(error).code) || signal.aborted) throw error;
        // Nothing of the program has run: another machine does not have what ails this one. One of the pool's has
        // rehearsed, and so has shown that its snapshot works.
        const { snapshot } = clone.origin;
        if (source === 'snapshot' && snapshot !== null) await warmStart?.blame(snapshot.sha256, error);
        before = { failed_clone: performance.now() - begunAt };
      }
    }
    return this.#startCold(spec, signal, before);
  }

  async wait(handle: ExecutionHandle): Promise<ExecutionResult> {
    return this.#require(handle).completion();
  }

  signal(handle: ExecutionHandle, signal: NodeJS.Signals): Promise<void> {
    this.#executions.get(handle)?.signal(constants.signals[signal]);
    return Promise.resolve();
  }

  kill(handle: ExecutionHandle): Promise<void> {
    this.#executions.get(handle)?.kill();
    return Promise.resolve();
  }

  async cleanup(handle: ExecutionHandle): Promise<void> {
    const execution = this.#executions.get(handle);
    if (execution === undefined) return;
    try {
      await execution[Symbol.asyncDispose]();
    } finally {
      this.#executions.delete(handle);
      this.#prepared?.warmStart?.refill();
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#preparing]);
    await this.#prepared?.warmStart?.[Symbol.asyncDispose]();
  }

  /** `stages` is what was needed before. */
  async #startCold(spec: ExecutionSpec, signal: AbortSignal, stages: BootStages): Promise<ExecutionHandle> {
    const { image, choice, warmStart } = this.#requirePrepared();
    using deadline = new BootDeadline(signal, this.#options.timeouts.bootMs);
    const begunAt = performance.now();
    await warmStart?.makeRoom(this.footprint(spec.limits).memoryMb);
    await using workspace = await this.#workspaces.create(spec.limits.diskMb);
    const launchedAt = performance.now();
    const request: MachineRequest = {
      accelerator: choice.accelerator,
      memoryMb: spec.limits.memoryMb + GUEST_OVERHEAD_MB,
      cpus: spec.limits.cpus,
      diskMb: spec.limits.diskMb,
      image,
      workspace,
      memory: { kind: 'own' },
    };
    const machine = await this.#options.monitor.launch(request, deadline);
    const before = { ...stages, workspace: launchedAt - begunAt };
    return await this.#begin(bootingGuest(machine), spec, deadline, launchedAt, before);
  }

  /** Gives the guest its program. `stages` is what was needed until `since`. */
  async #begin(
    guest: Guest,
    spec: ExecutionSpec,
    deadline: BootDeadline,
    since: number,
    stages: BootStages,
  ): Promise<ExecutionHandle> {
    const { timeouts, spoolDirectory } = this.#options;
    const execution = new GuestExecution(guest, spec, timeouts, spoolDirectory);
    try {
      await execution.start(since, deadline);
    } catch (error) {
      await execution[Symbol.asyncDispose]();
      throw asGlasshouseError(error);
    }
    execution.bootMs += Object.values(stages).reduce((sum, stage) => sum + stage, 0);
    execution.bootStages = { ...stages, ...execution.bootStages };
    this.#executions.set(execution, execution);
    // Reads on from here, whether or not somebody waits: the guest must never stand still for us.
    execution.completion().catch(() => undefined);
    return execution;
  }

  async #inspect(image: GuestImage, signal: AbortSignal): Promise<Prepared> {
    const { monitor, acceleratorFile } = this.#options;
    const facts = await monitor.inspect();
    const search = { monitor, image, workspaces: this.#workspaces, signal };
    const choice = await recallAccelerator(search, acceleratorFile, cacheKey(facts, image));
    await this.#prepared?.warmStart?.[Symbol.asyncDispose]();
    const warmStart = this.#makeWarmStart(image, choice);
    await warmStart?.prepare();
    return { image, facts, choice, warmStart };
  }

  #makeWarmStart(image: GuestImage, { accelerator }: AcceleratorChoice): WarmStart | null {
    const { monitor, warm, timeouts, spoolDirectory } = this.#options;
    if (warm === null) return null;
    const memories =
      monitor.memoryKind === 'sealed'
        ? new SealedMemories(warm.sealedMemoryHelper)
        : new FileMemories(spoolDirectory);
    return new WarmStart({
      context: {
        monitor,
        accelerator,
        image,
        workspaces: this.#workspaces,
        memories,
        overheadMb: GUEST_OVERHEAD_MB,
        timeoutMs: timeouts.bootMs,
      },
      store: new SnapshotStore(warm.snapshotDirectory, spoolDirectory, memories),
      defaultLimits: warm.defaultLimits,
      poolSize: warm.poolSize,
      makesSnapshots: warm.makesSnapshots,
      makesSnapshotsOnDemand: warm.makesSnapshotsOnDemand,
      keepsTemplates: warm.keepsTemplates,
      isBusy: () => this.#executions.size >= os.availableParallelism(),
      availableMb: availableMemoryMb,
      reserveMb: this.footprint(warm.defaultLimits).memoryMb + os.totalmem() / MIB / RESERVED_SHARE,
    });
  }

  #requirePrepared(): Prepared {
    if (this.#prepared === null)
      throw new GlasshouseError('internal', `prepare() of ${this.name} comes first.`);
    return this.#prepared;
  }

  #require(handle: ExecutionHandle): GuestExecution {
    const execution = this.#executions.get(handle);
    if (execution === undefined)
      throw new GlasshouseError('internal', 'This execution was already cleaned up.');
    return execution;
  }
}

function refuseInheritedStreams(spec: ExecutionSpec): void {
  if (spec.stdin === 'inherit' || spec.stdout !== 'capture' || spec.stderr !== 'capture') {
    throw new GlasshouseError(
      'unsupported_by_backend',
      'A virtual machine cannot inherit stdin, stdout or stderr.',
    );
  }
}

/** Everything that a remembered choice depends on. */
function cacheKey(facts: MonitorFacts, image: GuestImage): string {
  return [thisProcess().bootId, facts.version, image.manifestSha256].join(' ');
}
