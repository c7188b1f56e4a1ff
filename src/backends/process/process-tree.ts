import { setTimeout as delay } from 'node:timers/promises';

import { systemErrorCode } from '../../base/errors.js';
import {
  type ProcessEntry,
  hasEnded,
  hasEnvironmentEntry,
  listProcesses,
  readProcess,
} from '../../base/process-table.js';

/** Every process of an execution carries this, set to the execution's id, in its environment. */
export const MARKER_VARIABLE = 'GLASSHOUSE_EXECUTION_ID';

/** Rounds of one freeze: a tree that still grows after so many is killed as far as it is known, and looked for again. */
const FREEZE_ROUNDS = 64;
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
  /** pid and start of everything that has once been found, so that children are recognised by a dead parent's too. */
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

  #freeze(): readonly ProcessEntry[] {
    const frozen = new Set<string>();
    let members: readonly ProcessEntry[] = [];
    for (let round = 0; round < FREEZE_ROUNDS; round += 1) {
      members = this.#living();
      const running = members.filter((member) => !frozen.has(identity(member)));
      if (running.length === 0) break;
      for (const member of running) {
        this.#send(member, 'SIGSTOP');
        frozen.add(identity(member));
      }
    }
    return members;
  }

  #living(): readonly ProcessEntry[] {
    const candidates = listProcesses().filter((entry) => this.#canBelong(entry));
    for (const entry of candidates) {
      if (this.#isMember(entry)) this.#known.set(entry.pid, entry.startTicks);
    }
    this.#addDescendants(candidates);
    return candidates.filter(
      (entry) => this.#isKnown(entry) && !hasEnded(entry) && !this.#untouchable.has(identity(entry)),
    );
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

  #addDescendants(candidates: readonly ProcessEntry[]): void {
    const living = new Set(candidates.filter((entry) => this.#isKnown(entry)).map((entry) => entry.pid));
    for (let grown = true; grown;) {
      grown = false;
      for (const entry of candidates) {
        if (living.has(entry.pid) || !living.has(entry.parentPid)) continue;
        living.add(entry.pid);
        this.#known.set(entry.pid, entry.startTicks);
        grown = true;
      }
    }
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

function identity(entry: ProcessEntry): string {
  return `${entry.pid}:${entry.startTicks}`;
}
