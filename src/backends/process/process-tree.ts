import { setTimeout as delay } from 'node:timers/promises';

import { systemErrorCode } from '../../base/errors.js';
import {
  type ProcessEntry,
  hasEnded,
  hasEnvironmentEntry,
  lastPid,
  listPids,
  readProcess,
} from '../../base/process-table.js';

/** Every process of an execution carries this, set to the execution's id, in its environment. */
export const MARKER_VARIABLE = 'GLASSHOUSE_EXECUTION_ID';

/** Rounds of one freeze: a tree that still grows after so many is killed as far as it is known, and looked for again. */
const FREEZE_ROUNDS = 64;
/** More births than this since the last look, and the whole table is read again instead of each of them. */
const MOST_BIRTHS = 256;
/** Only a process stuck in the kernel outlives SIGKILL for so long. */
const KILL_DEADLINE_MS = 5_000;

/**
 * The processes of one execution: those that carry its marker, those in the session that the program was given, and
 * the descendants of all of them. Not found is a process that left the session, dropped its environment and lost
 * its parent before anybody looked: a backend without isolation cannot do better.
 */
export class ProcessTree {
  readonly #marker: string;
  /** Nothing that started before the program can belong to it. */
  readonly #notBefore: number;
  /** The session that the program leads; null when it shares ours. */
  readonly #sessionId: number | null;
  /** pid and start of everything that was ever found: a member stays one, whatever it does to its environment. */
  readonly #known = new Map<number, number>();
  /** What we may not signal, for example a set-user-ID program. */
  readonly #untouchable = new Set<string>();

  private constructor(executionId: string, root: ProcessEntry | null, ownSession: boolean) {
    this.#marker = `${MARKER_VARIABLE}=${executionId}`;
    this.#notBefore = root?.startTicks ?? 0;
    this.#sessionId = root !== null && ownSession ? root.pid : null;
    if (root !== null) this.#known.set(root.pid, root.startTicks);
  }

  /** The tree below a program that was just started. `ownSession`: it leads a session of its own. */
  static ofProgram(executionId: string, pid: number, ownSession: boolean): ProcessTree {
    return new ProcessTree(executionId, readProcess(pid), ownSession);
  }

  /** What can be found by the marker alone. */
  static ofLeftovers(executionId: string): ProcessTree {
    return new ProcessTree(executionId, null, false);
  }

  /**
   * Stops everything, so that nothing can fork while we look, then kills everything, until nothing is left. Resolves
   * to false when something is not ours to kill or still exists after 5 s.
   */
  async kill(): Promise<boolean> {
    const deadline = performance.now() + KILL_DEADLINE_MS;
    for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 16)) {
      const members = this.#freeze();
      if (members.length === 0) return this.#untouchable.size === 0;
      if (performance.now() > deadline) return false;
      for (const member of members) this.#send(member, 'SIGKILL');
      await delay(pauseMs);
    }
  }

  /** Returns the living members, all of them stopped. */
  #freeze(): readonly ProcessEntry[] {
    const stopped = new Map<number, ProcessEntry>();
    let pids: readonly number[] | null = null;
    for (let round = 0; round < FREEZE_ROUNDS; round += 1) {
      const youngest = lastPid();
      const before = stopped.size;
      this.#stopMembers(pids ?? listPids(), stopped);
      // Nothing new, and nothing was born while we looked: there was nowhere to hide.
      const now = lastPid();
      if (stopped.size === before && now === youngest) break;
      pids = stopped.size === before ? bornBetween(youngest, now) : null;
    }
    return [...stopped.values()].filter((entry) => !this.#untouchable.has(identity(entry)));
  }

  /** One look at `pids`; each member is stopped the moment it is seen, before it can fork and go. */
  #stopMembers(pids: readonly number[], stopped: Map<number, ProcessEntry>): void {
    const stoppedGroups = new Set<number>();
    const stop = (entry: ProcessEntry): void => {
      this.#known.set(entry.pid, entry.startTicks);
      if (hasEnded(entry) || stopped.has(entry.pid)) return;
      stopped.set(entry.pid, entry);
      this.#stopGroup(entry, stoppedGroups);
      this.#send(entry, 'SIGSTOP');
    };
    const others: ProcessEntry[] = [];
    for (const pid of pids) {
      const entry = readProcess(pid);
      if (entry === null || !this.#canBelong(entry)) continue;
      if (this.#isMember(entry)) stop(entry);
      else others.push(entry);
    }
    for (let before = -1; before < stopped.size;) {
      before = stopped.size;
      for (const entry of others) {
        // A stopped parent lives: its pid is nobody else's.
        if (stopped.has(entry.parentPid)) stop(entry);
      }
    }
  }

  /** The kernel stops a whole process group in one step, also while it forks. Only groups that a member leads are ours. */
  #stopGroup(entry: ProcessEntry, done: Set<number>): void {
    const group = entry.processGroupId;
    if (!this.#known.has(group) || done.has(group)) return;
    done.add(group);
    try {
      process.kill(-group, 'SIGSTOP');
    } catch (error) {
      const code = systemErrorCode(error);
      if (code !== 'EPERM' && code !== 'ESRCH') throw error;
    }
  }

  #canBelong(entry: ProcessEntry): boolean {
    return entry.startTicks >= this.#notBefore && entry.pid !== process.pid;
  }

  #isMember(entry: ProcessEntry): boolean {
    if (this.#isKnown(entry) || entry.sessionId === this.#sessionId) return true;
    return hasEnvironmentEntry(entry, this.#marker);
  }

  #isKnown(entry: ProcessEntry): boolean {
    return this.#known.get(entry.pid) === entry.startTicks;
  }

  #send(entry: ProcessEntry, signal: NodeJS.Signals): void {
    try {
      process.kill(entry.pid, signal);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'EPERM') this.#untouchable.add(identity(entry));
      else if (code !== 'ESRCH') throw error;
    }
  }
}

/**
 * Kills what an execution left running whose Glasshouse process is gone. Resolves to false when something is not
 * ours to kill or is still there after 5 s.
 */
export function killLeftovers(executionId: string): Promise<boolean> {
  return ProcessTree.ofLeftovers(executionId).kill();
}

/** Null when it is simpler to look at all pids. */
function bornBetween(youngest: number | null, now: number | null): readonly number[] | null {
  if (youngest === null || now === null || now < youngest || now - youngest > MOST_BIRTHS) return null;
  return Array.from({ length: now - youngest }, (_, index) => now - index);
}

function identity(entry: ProcessEntry): string {
  return `${entry.pid}:${entry.startTicks}`;
}
