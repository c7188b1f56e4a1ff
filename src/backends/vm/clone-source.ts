import { asGlasshouseError } from '../../base/errors.js';
import { BootDeadline, NOBODY } from './boot-deadline.js';
import { rehearse, restoreClone, restoreRehearsedClone } from './clone.js';
import { CloneTemplate } from './clone-template.js';
import { type Guest } from './guest.js';
import { CLONE_REHEARSALS } from './rehearsal.js';
import { type Snapshot } from './snapshot.js';
import { type SnapshotContext } from './snapshot-builder.js';

/** After so many failures, with fewer good copies than this between one and the next, templates are given up. */
const MAX_FAILURES = 3;
const COPIES_THAT_REDEEM = 100;

/**
 * Makes clones of snapshots: copies of a template where the monitor can copy itself and one stands, otherwise machines
 * that go on from the snapshot by themselves, which always works and costs more.
 */
export class CloneSource implements AsyncDisposable {
  readonly #context: SnapshotContext;
  readonly #keepsTemplates: boolean;
  /** By the snapshot's digest. */
  readonly #standing = new Map<string, CloneTemplate>();
  readonly #making = new Map<string, Promise<CloneTemplate | null>>();
  #monitorCopies = true;
  #failures = 0;
  #copiesSinceFailure = 0;
  #problem: string | null = null;
  #closed = false;

  constructor(context: SnapshotContext, keepsTemplates: boolean) {
    this.#context = context;
    this.#keepsTemplates = keepsTemplates;
  }

  /** Templates that stand. */
  get templates(): number {
    return this.#standing.size;
  }

  /** Why clones are no longer made by copying; null while they are, or never were. */
  get problem(): string | null {
    return this.#hasGivenUp ? this.#problem : null;
  }

  /** Begins to make a template, so that one stands when an execution comes. */
  standBy(snapshot: Snapshot): void {
    void this.#ensure(snapshot);
  }

  /** One that goes on at once. Throws `vmm_failed`, or what the deadline says. */
  async forExecution(snapshot: Snapshot, deadline: BootDeadline): Promise<Guest> {
    const template = this.#standing.get(snapshot.identity.sha256);
    const copy = template === undefined ? null : await this.#copy(snapshot, template, 'restored', deadline);
    if (copy !== null) return copy;
    // For the next one.
    this.standBy(snapshot);
    return restoreClone(this.#context, snapshot, deadline);
  }

  /** One that has rehearsed and is paused. Throws what a boot throws. */
  async forPool(snapshot: Snapshot): Promise<Guest> {
    const template = await this.#ensure(snapshot);
    using deadline = new BootDeadline(NOBODY, this.#context.timeoutMs);
    const copy = template === null ? null : await this.#copy(snapshot, template, 'pooled', deadline);
    if (copy === null) return await restoreRehearsedClone(this.#context, snapshot);
    // The memory that a program writes to stops being shared now, and not while somebody waits for its answer.
    await rehearse(this.#context, snapshot, copy, CLONE_REHEARSALS);
    return copy;
  }

  /** Ends the template of a snapshot because a clone of it failed; false when there is none to blame. */
  async blameTemplate(snapshotSha256: string, error: unknown): Promise<boolean> {
    const template = this.#standing.get(snapshotSha256);
    if (template === undefined) return false;
    this.#countFailure(error);
    await this.forget(snapshotSha256);
    return true;
  }

  /** To be called before a snapshot is disposed of. */
  async forget(snapshotSha256: string): Promise<void> {
    const template = (await this.#making.get(snapshotSha256)) ?? this.#standing.get(snapshotSha256);
    this.#standing.delete(snapshotSha256);
    await template?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const sha256 of [...this.#making.keys(), ...this.#standing.keys()]) await this.forget(sha256);
  }

  get #hasGivenUp(): boolean {
    return this.#failures >= MAX_FAILURES;
  }

  /** Null when there shall be none, or it could not be made. */
  #ensure(snapshot: Snapshot): Promise<CloneTemplate | null> {
    const { sha256 } = snapshot.identity;
    const standing = this.#standing.get(sha256);
    if (standing !== undefined) return Promise.resolve(standing);
    if (!this.#keepsTemplates || !this.#monitorCopies || this.#hasGivenUp || this.#closed)
      return Promise.resolve(null);
    const making = this.#making.get(sha256) ?? this.#make(snapshot);
    this.#making.set(sha256, making);
    return making.finally(() => this.#making.delete(sha256));
  }

  async #make(snapshot: Snapshot): Promise<CloneTemplate | null> {
    try {
      const template = await CloneTemplate.make(this.#context, snapshot);
      if (template === null) this.#monitorCopies = false;
      else this.#keep(snapshot.identity.sha256, template);
      return template;
    } catch (error) {
      // A snapshot that is to blame for it fails those who go on from it by themselves as well.
      this.#countFailure(error);
      return null;
    }
  }

  #keep(sha256: string, template: CloneTemplate): void {
    this.#standing.set(sha256, template);
    void template.ended.then(() => {
      if (this.#standing.get(sha256) !== template) return;
      this.#standing.delete(sha256);
      return template[Symbol.asyncDispose]();
    });
  }

  /** A copy that goes on; null when the template makes none: it is ended then. Throws `disk_full`. */
  async #copy(
    snapshot: Snapshot,
    template: CloneTemplate,
    start: 'restored' | 'pooled',
    deadline: BootDeadline,
  ): Promise<Guest | null> {
    try {
      const guest = await template.copy(start, deadline);
      this.#copiesSinceFailure += 1;
      return guest;
    } catch (error) {
      // Whatever else went wrong is not the template's fault.
      if (asGlasshouseError(error).code !== 'vmm_failed') throw error;
      if (this.#standing.get(snapshot.identity.sha256) === template)
        await this.blameTemplate(snapshot.identity.sha256, error);
      return null;
    }
  }

  #countFailure(error: unknown): void {
    if (this.#copiesSinceFailure >= COPIES_THAT_REDEEM) this.#failures = 0;
    this.#failures += 1;
    this.#copiesSinceFailure = 0;
    this.#problem = `clones are not made by copying: ${asGlasshouseError(error).message}`;
  }
}
