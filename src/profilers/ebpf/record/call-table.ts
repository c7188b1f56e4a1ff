import { type DeniedCall, type NotableCall, type SystemCallRecord } from '../../../receipts/observed.js';
import { type CallCount, type NotableUsed, type SystemCalls } from '../observer-message.js';
import { systemCallName } from '../system-call-names.js';
import { type Budget } from './budget.js';
import { Doers } from './doers.js';
import { type ProcessTable } from './process-table.js';

/** There are not so many system calls in all tables together; a later kernel may have more. */
const MAX_CALLS = 4_096;

interface Notable {
  readonly doers: Doers;
  succeeded: number;
}

/** The system calls of the receipt. */
export class CallTable {
  readonly #budget: Budget;
  readonly #processes: ProcessTable;
  readonly #counts = new Map<string, CallCount>();
  readonly #notable = new Map<string, Notable>();

  constructor(budget: Budget, processes: ProcessTable) {
    this.#budget = budget;
    this.#processes = processes;
  }

  notice(message: NotableUsed): void {
    const name = systemCallName(message.abi, message.number);
    const known = this.#notable.get(name);
    const entry = known ?? { doers: new Doers(), succeeded: 0 };
    if (known === undefined && this.#notable.size < MAX_CALLS) this.#notable.set(name, entry);
    entry.doers.add(this.#processes.idOf(message), 1, this.#budget);
    if (message.errno === 0) entry.succeeded += 1;
  }

  count(message: SystemCalls): void {
    for (const call of message.calls) {
      if (this.#counts.size < MAX_CALLS) this.#counts.set(systemCallName(call.abi, call.number), call);
    }
  }

  record(): SystemCallRecord {
    const counts = [...this.#counts].filter(([, { calls }]) => calls > 0);
    return {
      counts: Object.fromEntries(counts.map(([name, { calls }]) => [name, calls])),
      denied: counts.flatMap(([name, call]) => deniedCalls(name, call)),
      notable: [...this.#notable].map(([name, entry]) => this.#recordNotable(name, entry)),
    };
  }

  /** Only the first of several equal calls is an event of its own; the counts are of all. */
  #recordNotable(name: string, { doers, succeeded }: Notable): NotableCall {
    const deeds = doers.record();
    const counted = this.#counts.get(name);
    if (counted === undefined || counted.calls < deeds.count) return { name, succeeded, ...deeds };
    const { calls, failed } = counted;
    return { name, succeeded: Math.max(0, calls - failed), processes: deeds.processes, count: calls };
  }
}

function deniedCalls(name: string, { notPermitted, accessDenied }: CallCount): DeniedCall[] {
  const denied: readonly DeniedCall[] = [
    { name, error: 'EPERM', count: notPermitted },
    { name, error: 'EACCES', count: accessDenied },
  ];
  return denied.filter(({ count }) => count > 0);
}
