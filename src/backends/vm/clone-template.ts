import { asGlasshouseError } from '../../base/errors.js';
import { type LinkPosition } from '../../guest-link/connection.js';
import { type SnapshotIdentity } from '../backend.js';
import { BootDeadline, bringUp, NOBODY } from './boot-deadline.js';
import { cloneRequest, rehearse } from './clone.js';
import { clonedGuest, type Guest } from './guest.js';
import { type MachineTemplate } from './machine.js';
import { CLONE_REHEARSALS, TEMPLATE_REHEARSALS } from './rehearsal.js';
import { type Snapshot } from './snapshot.js';
import { type SnapshotContext } from './snapshot-builder.js';
import { type ImageTemplate, type WorkspaceImages } from './workspace-image.js';

/**
 * A clone that has rehearsed and stands still. It runs nobody's program; copies of its monitor do, each one:
 * they have what the emulator has translated for it, and share it with the others.
 */
export class CloneTemplate implements AsyncDisposable {
  readonly #identity: SnapshotIdentity;
  readonly #template: MachineTemplate;
  readonly #workspaces: WorkspaceImages;
  readonly #workspace: ImageTemplate;
  readonly #position: LinkPosition;

  private constructor(
    identity: SnapshotIdentity,
    template: MachineTemplate,
    workspaces: WorkspaceImages,
    workspace: ImageTemplate,
    position: LinkPosition,
  ) {
    this.#identity = identity;
    this.#template = template;
    this.#workspaces = workspaces;
    this.#workspace = workspace;
    this.#position = position;
  }

  /** Null: the monitor makes no copies. Throws what a boot throws. */
  static async make(context: SnapshotContext, snapshot: Snapshot): Promise<CloneTemplate | null> {
    const { monitor, workspaces } = context;
    await using workspace = await workspaces.copy(snapshot.workspace);
    await using state = await snapshot.openState();
    const template = await monitor.launchTemplate(cloneRequest(context, snapshot, workspace, state));
    if (template === null) return null;
    const { machine } = template;
    const guest = clonedGuest(machine, snapshot.link, { start: 'pooled', snapshot: snapshot.identity });
    await rehearse(context, snapshot, guest, TEMPLATE_REHEARSALS);
    try {
      const contents = await workspaces.templateOf(workspace, snapshot.profile.diskMb);
      const { position } = guest.connection;
      const made = new CloneTemplate(snapshot.identity, template, workspaces, contents, position);
      await made.#foresee(context, snapshot);
      return made;
    } catch (error) {
      await machine.destroy();
      throw error;
    }
  }

  /** Resolves when its monitor has ended, for whatever reason. */
  get ended(): Promise<unknown> {
    return this.#template.machine.ended;
  }

  /** A clone that goes on from here. Throws `vmm_failed`, `disk_full`, or what the deadline says. */
  async copy(start: 'restored' | 'pooled', deadline: BootDeadline): Promise<Guest> {
    await using workspace = await this.#workspaces.copy(this.#workspace);
    const machine = await this.#template.copy(workspace, start === 'pooled');
    try {
      await bringUp(machine, deadline, () => machine.unpause());
    } catch (error) {
      await machine.destroy();
      throw asGlasshouseError(error, 'vmm_failed');
    }
    return clonedGuest(machine, this.#position, { start, snapshot: this.#identity });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#template.machine.destroy();
  }

  /** With a copy that does what those of the pool do, and then what a program does: nobody else uses it. */
  async #foresee(context: SnapshotContext, snapshot: Snapshot): Promise<void> {
    using deadline = new BootDeadline(NOBODY, context.timeoutMs);
    const scout = await this.copy('pooled', deadline);
    try {
      await rehearse(context, snapshot, scout, CLONE_REHEARSALS);
      await this.#template.foresee(scout.machine, async () => {
        await scout.machine.unpause();
        await rehearse(context, snapshot, scout, CLONE_REHEARSALS);
      });
    } finally {
      await scout.machine.destroy();
    }
  }
}
