import { asGlasshouseError, type ErrorCode } from '../../base/errors.js';
import { type BackendGauge, type Limits, type SnapshotIdentity } from '../backend.js';
import { type BootDeadline } from './boot-deadline.js';
import { ClonePool } from './clone-pool.js';
import { CloneSource } from './clone-source.js';
import { type Guest } from './guest.js';
import { type Profile, profileFor, profileName } from './snapshot.js';
import { type SnapshotContext } from './snapshot-builder.js';
import { Snapshots } from './snapshots.js';
import { type SnapshotStore } from './snapshot-store.js';

export interface WarmStartOptions {
  readonly context: SnapshotContext;
  readonly store: SnapshotStore;
  /** What executions that ask for nothing get; the pool holds clones for these. */
  readonly defaultLimits: Limits;
  /** Clones that wait. */
  readonly poolSize: number;
  /** False: only what others have made is used; a single command would wait longer for a snapshot than for a boot. */
  readonly makesSnapshots: boolean;
  /** False: none is made of its own accord, for other limits or in place of a damaged one, which only others would use. */
  readonly makesSnapshotsOnDemand: boolean;
  /** False: each clone goes on from its snapshot by itself; a template would serve a single execution. */
  readonly keepsTemplates: boolean;
  readonly isBusy: () => boolean;
  readonly availableMb: () => number;
  readonly reserveMb: number;
}

/**
 * Failures of a clone that are the snapshot's fault, as far as one can tell. A monitor may take a state that its guest
 * then dies of; that somebody killed it looks the same, and costs a boot in vain at most.
 */
const BLAMED_ON_SNAPSHOT: readonly ErrorCode[] = [
  'vmm_failed',
  'guest_lost',
  'guest_setup_failed',
  'guest_link_violation',
];

/** Where a clone may come from, the quickest first. */
export const CLONE_SOURCES = ['pool', 'snapshot'] as const;
export type CloneSourceName = (typeof CLONE_SOURCES)[number];

/** Guests that need not boot, for one image and one accelerator. */
export class WarmStart implements AsyncDisposable {
  readonly #options: WarmStartOptions;
  readonly #snapshots: Snapshots;
  readonly #clones: CloneSource;
  readonly #profile: Profile;
  readonly #pool: ClonePool | null;
  #problem: string | null = null;

  constructor(options: WarmStartOptions) {
    this.#options = options;
    this.#profile = profileFor(options.defaultLimits);
    this.#snapshots = new Snapshots(options.context, options.store);
    this.#clones = new CloneSource(options.context, options.keepsTemplates);
    this.#pool =
      options.poolSize === 0
        ? null
        : new ClonePool({
            size: options.poolSize,
            restore: () => this.#restoreForPool(),
            isBusy: options.isBusy,
            availableMb: options.availableMb,
            reserveMb: options.reserveMb,
            now: () => performance.now(),
          });
  }

  /** What keeps guests from being cloned; empty when nothing does. */
  get problems(): readonly string[] {
    return [this.#problem, this.#clones.problem].filter((problem) => problem !== null);
  }

  /** The snapshot that most executions are cloned from. */
  get identity(): SnapshotIdentity | null {
    return this.#snapshots.get(this.#profile)?.identity ?? null;
  }

  /** Makes the snapshot that most executions need. Never rejects: without one, guests boot. */
  async prepare(): Promise<void> {
    try {
      if (this.#options.makesSnapshots) await this.#snapshots.ensure(this.#profile);
      else await this.#snapshots.load(this.#profile);
      this.#problem = null;
      const snapshot = this.#snapshots.get(this.#profile);
      if (snapshot !== null) this.#clones.standBy(snapshot);
      this.#pool?.refill();
    } catch (error) {
      this.#problem = `no snapshot could be made: ${asGlasshouseError(error).message}`;
    }
  }

  /** A guest for these limits that is already up, or soon is; never rejects. `failed`: also when the time was over. */
  async take(
    limits: Limits,
    source: CloneSourceName,
    deadline: BootDeadline,
  ): Promise<Guest | 'none' | 'failed'> {
    const profile = profileFor(limits);
    if (source === 'pool')
      return profileName(profile) === profileName(this.#profile) ? this.#takePooled(deadline) : 'none';
    const snapshot = this.#snapshots.get(profile);
    if (snapshot === null) {
      this.#prepareLater(profile);
      return 'none';
    }
    try {
      return await this.#clones.forExecution(snapshot, deadline);
    } catch (error) {
      await this.blame(snapshot.identity.sha256, error);
      return 'failed';
    }
  }

  /**
   * A clone failed before its program began. A template that it may have been copied from is to blame first; without
   * one it is the snapshot, which is not used again.
   */
  async blame(snapshotSha256: string, error: unknown): Promise<void> {
    if (!BLAMED_ON_SNAPSHOT.includes(asGlasshouseError(error, 'vmm_failed').code)) return;
    if (await this.#clones.blameTemplate(snapshotSha256, error)) return;
    const snapshot = this.#snapshots.find(snapshotSha256);
    if (snapshot === null) return;
    await this.#clones.forget(snapshotSha256);
    await this.#snapshots.discard(snapshot);
    this.#prepareLater(snapshot.profile);
  }

  /** To be called when an execution has ended. */
  refill(): void {
    this.#pool?.refillSoon();
  }

  async makeRoom(neededMb: number): Promise<void> {
    await this.#pool?.makeRoom(neededMb);
  }

  gauges(): readonly BackendGauge[] {
    return [
      { name: 'pool_ready', help: 'Clones that wait to be used.', value: this.#pool?.ready ?? 0 },
      { name: 'pool_size', help: 'Clones that shall wait at most.', value: this.#options.poolSize },
      {
        name: 'pool_templates',
        help: 'Machines that clones are copied from.',
        value: this.#clones.templates,
      },
      { name: 'pool_failures', help: 'Clones that could not be made.', value: this.#pool?.failures ?? 0 },
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool?.[Symbol.asyncDispose]();
    await this.#clones[Symbol.asyncDispose]();
    await this.#snapshots[Symbol.asyncDispose]();
  }

  async #takePooled({ signal }: BootDeadline): Promise<Guest | 'none' | 'failed'> {
    const coming = this.#pool?.take() ?? null;
    if (coming === null) return 'none';
    try {
      const guest = await Promise.race([coming, aborted(signal)]);
      if (guest === 'aborted') {
        // It is claimed: when it comes, nobody wants it any more.
        void coming.then(({ machine }) => machine.destroy()).catch(() => undefined);
        return 'failed';
      }
      // Not awaited: what the guest is told meanwhile waits for it. One that does not go on loses its link.
      guest.machine.unpause().catch(() => guest.machine.destroy());
      return guest;
    } catch {
      // It could not be made, which #restoreForPool has seen to.
      return 'failed';
    }
  }

  async #restoreForPool(): Promise<Guest> {
    const snapshot = await this.#snapshots.ensure(this.#profile);
    try {
      return await this.#clones.forPool(snapshot);
    } catch (error) {
      await this.blame(snapshot.identity.sha256, error);
      throw error;
    }
  }

  /** While no one waits for it. */
  #prepareLater(profile: Profile): void {
    if (!this.#options.makesSnapshotsOnDemand || !this.#snapshots.hasRoom) return;
    // Why it could not be made is told to who asks next; this execution boots.
    this.#snapshots.ensure(profile).catch((error: unknown) => {
      this.#problem = `no snapshot could be made: ${asGlasshouseError(error).message}`;
    });
  }
}

/** Nothing listens on once the signal, which lives as long as one attempt, is gone. */
function aborted(signal: AbortSignal): Promise<'aborted'> {
  if (signal.aborted) return Promise.resolve('aborted');
  return new Promise((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        resolve('aborted');
      },
      { once: true },
    );
  });
}
