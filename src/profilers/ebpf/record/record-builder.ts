import { type ObservedTotals } from '../../../receipts/observed.js';
import { type Observed } from '../../profiler.js';
import { type JoinedEvent } from '../argv-joiner.js';
import { type End, type Sum, type SystemCalls } from '../observer-message.js';
import { Budget } from './budget.js';
import { CallTable } from './call-table.js';
import { ChangeTable } from './change-table.js';
import { FileTable } from './file-table.js';
import { blindSpotsOf, droppedOf } from './losses.js';
import { NetworkTable } from './network-table.js';
import { ProcessTable } from './process-table.js';

const MIB = 1024 * 1024;
/** Together well below what a receipt may have (MAX_PAYLOAD_BYTES). */
const PROCESS_BUDGET_BYTES = 6 * MIB;
const FILE_BUDGET_BYTES = 6 * MIB;
const NETWORK_BUDGET_BYTES = 2 * MIB;
const NANOSECONDS_PER_US = 1_000;
const NANOSECONDS_PER_MS = 1_000_000;

/** How the observation itself went. */
export interface Course {
  readonly hooks: readonly string[];
  /** Null: the observer did not live to tell. */
  readonly end: End | null;
  /** CLOCK_MONOTONIC from when on nothing was seen; null: it was there to the end. */
  readonly blindFromNs: number | null;
  /** Why it is not complete; null: it has no reason of its own. */
  readonly reason: string | null;
  readonly unknownMessages: number;
}

/** Makes the receipt's parts out of events as they come; holds no more than the receipt has room for. */
export class RecordBuilder {
  readonly #omitted = new Map<string, number>();
  readonly #processes: ProcessTable;
  readonly #files: FileTable;
  readonly #changes: ChangeTable;
  readonly #network: NetworkTable;
  readonly #calls: CallTable;
  #events = 0;
  /** Of the last list of doers, by place; null for one that the receipt does not list. */
  #doers: readonly (number | null)[] = [];

  /** `startNs`: CLOCK_MONOTONIC of what counts as the start. */
  constructor(startNs: number) {
    const budget = (bytes: number): Budget => new Budget(bytes, this.#omitted);
    const files = budget(FILE_BUDGET_BYTES);
    const network = budget(NETWORK_BUDGET_BYTES);
    this.#processes = new ProcessTable(budget(PROCESS_BUDGET_BYTES), startNs);
    this.#files = new FileTable(files, this.#processes);
    this.#changes = new ChangeTable(files, this.#processes);
    this.#network = new NetworkTable(network, this.#processes);
    this.#calls = new CallTable(network, this.#processes);
  }

  add(event: JoinedEvent): void {
    this.#events += 1;
    switch (event.type) {
      case 'process':
        this.#processes.start(event);
        return;
      case 'exec':
        this.#processes.execute(event);
        return;
      case 'process_end':
        this.#files.endProcess(event);
        this.#processes.end(event);
        return;
      case 'file':
        this.#files.use(event);
        return;
      case 'file_totals':
        this.#files.count(event);
        return;
      case 'open_failed':
        this.#changes.failOpen(event);
        return;
      case 'change':
        this.#changes.change(event);
        return;
      case 'socket':
        this.#network.use(event);
        return;
      case 'peer_totals':
        this.#network.count(event);
        return;
      case 'dns':
        this.#network.ask(event);
        return;
      case 'notable':
        this.#calls.notice(event);
    }
  }

  addSum(sum: Sum): void {
    switch (sum.type) {
      case 'doers':
        this.#events += sum.events;
        this.#doers = sum.heads.map((head) => this.#processes.idOf(head));
        return;
      case 'file_sum':
        this.#files.useOften(sum, this.#doers);
        return;
      case 'open_failed_sum':
        this.#changes.failOpens(sum, this.#doers);
    }
  }

  countCalls(message: SystemCalls): void {
    this.#calls.count(message);
  }

  /** Call it once, when nothing more will come. */
  record(course: Course): Observed {
    const { end, blindFromNs, hooks } = course;
    const dropped = droppedOf(end, course.unknownMessages);
    const { reads, writes, bytes_read, bytes_written } = this.#files.record();
    const sawTraffic =
      end?.treeEnded === true && lostNothing(dropped, ['lost_', 'peer_table_full', 'untracked']);
    const network = this.#network.record(sawTraffic);
    const omitted = Object.fromEntries([...this.#omitted].sort(([one], [other]) => (one < other ? -1 : 1)));
    const reason = course.reason ?? describeGaps(dropped, omitted);
    const countsFiles = lostNothing(dropped, ['lost_file', 'file_table_full', 'untracked']) && end !== null;
    return {
      observation: {
        level: 'host',
        reason,
        complete: reason === null && blindFromNs === null,
        blind_from_us: blindFromNs === null ? null : this.#processes.since(blindFromNs),
        events: this.#events,
        dropped,
        omitted,
        hooks,
        blind_spots: blindSpotsOf(dropped),
        totals: end === null ? null : totalsOf(end),
      },
      processTree: this.#processes.record(),
      filesystem: {
        reads,
        writes,
        ...this.#changes.record(),
        bytes_read: countsFiles ? bytes_read : null,
        bytes_written: countsFiles ? bytes_written : null,
      },
      network,
      syscalls: this.#calls.record(),
      resources: end === null ? null : resourcesOf(end),
    };
  }
}

function lostNothing(dropped: Readonly<Record<string, number>>, beginnings: readonly string[]): boolean {
  return !Object.keys(dropped).some((name) => beginnings.some((beginning) => name.startsWith(beginning)));
}

function describeGaps(
  dropped: Readonly<Record<string, number>>,
  omitted: Readonly<Record<string, number>>,
): string | null {
  const list = (table: Readonly<Record<string, number>>): string =>
    Object.entries(table)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  const parts = [
    ...(Object.keys(dropped).length === 0 ? [] : [`not seen whole: ${list(dropped)}`]),
    ...(Object.keys(omitted).length === 0 ? [] : [`no room in the receipt: ${list(omitted)}`]),
  ];
  return parts.length === 0 ? null : parts.join('; ');
}

function totalsOf(end: End): ObservedTotals {
  return {
    processes: end.processes,
    threads: end.threads,
    read_bytes: end.readBytes,
    written_bytes: end.writtenBytes,
    storage_read_bytes: end.storageReadBytes,
    storage_written_bytes: end.storageWrittenBytes,
  };
}

function resourcesOf(end: End): Observed['resources'] {
  return {
    source: 'host',
    max_rss_kb: end.maxRssKb,
    cpu_time_ms: Math.round(end.cpuNs / NANOSECONDS_PER_MS),
    user_us: Math.round(end.userNs / NANOSECONDS_PER_US),
    system_us: Math.round(end.systemNs / NANOSECONDS_PER_US),
  };
}
