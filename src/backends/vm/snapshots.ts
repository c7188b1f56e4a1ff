import { createHash } from 'node:crypto';

import { asGlasshouseError } from '../../base/errors.js';
import { type Profile, profileName, type Snapshot } from './snapshot.js';
import { freezeGuest, type SnapshotContext } from './snapshot-builder.js';
import { type SnapshotStore } from './snapshot-store.js';

/** Changes when a snapshot of another version of this code must not be used. */
const SNAPSHOT_VERSION = 3;
/** Beside the first one; each keeps its memory. */
const MAX_FURTHER_PROFILES = 3;

/** The snapshots of one image, made when first asked for and kept until dispose. */
export class Snapshots implements AsyncDisposable {
  readonly #context: SnapshotContext;
  readonly #store: SnapshotStore;
  readonly #snapshots = new Map<string, Snapshot>();
  readonly #making = new Map<string, Promise<Snapshot>>();
  readonly #closing = new AbortController();

  constructor(context: SnapshotContext, store: SnapshotStore) {
    this.#context = context;
    this.#store = store;
  }

  /** What is there without waiting. */
  get(profile: Profile): Snapshot | null {
    return this.#snapshots.get(profileName(profile)) ?? null;
  }

  find(sha256: string): Snapshot | null {
    return [...this.#snapshots.values()].find(({ identity }) => identity.sha256 === sha256) ?? null;
  }

  /** Loads what was stored; null when there is nothing that could be used. */
  async load(profile: Profile): Promise<Snapshot | null> {
    const snapshot = await this.#loadUsable(await this.#key(profile));
    if (snapshot !== null) this.#snapshots.set(profileName(profile), snapshot);
    return snapshot;
  }

  /** Loads what was stored, or makes it; a stored one that is damaged is made anew. Throws what a boot throws. */
  ensure(profile: Profile): Promise<Snapshot> {
    const name = profileName(profile);
    const existing = this.#snapshots.get(name);
    if (existing !== undefined) return Promise.resolve(existing);
    const making =
      this.#making.get(name) ??
      this.#loadOrMake(profile).then((snapshot) => {
        this.#snapshots.set(name, snapshot);
        return snapshot;
      });
    this.#making.set(name, making);
    return making.finally(() => this.#making.delete(name));
  }

  /** True when there is room for the snapshot of one more profile. */
  get hasRoom(): boolean {
    return this.#making.size === 0 && this.#snapshots.size <= MAX_FURTHER_PROFILES;
  }

  /** A clone of it did not come up: the next one is made anew. */
  async discard(snapshot: Snapshot): Promise<void> {
    const name = profileName(snapshot.profile);
    if (this.#snapshots.get(name) !== snapshot) return;
    this.#snapshots.delete(name);
    await this.#store.remove(await this.#key(snapshot.profile));
    await snapshot[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#making.values());
    for (const snapshot of this.#snapshots.values()) await snapshot[Symbol.asyncDispose]();
    this.#snapshots.clear();
  }

  async #loadOrMake(profile: Profile): Promise<Snapshot> {
    const key = await this.#key(profile);
    const stored = await this.#loadUsable(key);
    if (stored !== null) return stored;
    const frozen = await freezeGuest(this.#context, profile, this.#closing.signal);
    try {
      const snapshot = await this.#store.save(key, profile, frozen);
      await this.#store.tidy(key);
      return snapshot;
    } catch (error) {
      await frozen.memory[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** One that is damaged is removed. */
  async #loadUsable(key: string): Promise<Snapshot | null> {
    try {
      return await this.#store.load(key);
    } catch (error) {
      if (asGlasshouseError(error).code !== 'snapshot_corrupt') throw error;
      await this.#store.remove(key);
      return null;
    }
  }

  /** Digest of everything that a snapshot depends on. */
  async #key(profile: Profile): Promise<string> {
    const { monitor, accelerator, image, overheadMb } = this.#context;
    const memoryMb = profile.memoryMb + overheadMb;
    const { cpus, diskMb } = profile;
    const machine = await monitor.freezeKey({ accelerator, memoryMb, cpus, diskMb });
    const parts = [SNAPSHOT_VERSION, machine, image.manifestSha256, profileName(profile)];
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  }
}
