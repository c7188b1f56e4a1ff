import { type BackendGauge } from '../backend.js';

/** One number in a line of Firecracker's metrics. */
interface Source {
  readonly group: string;
  readonly field: string;
  /** Most count what was new since the line before; a few say how many there were since the process began. */
  readonly counts: 'since the last line' | 'since the start';
}

interface Counter {
  readonly name: string;
  readonly help: string;
  readonly source: Source;
}

/**
 * What is taken from Firecracker's metrics (docs/metrics.md; src/vmm/src/logger/metrics.rs says which are stored and which
 * count anew with each line): whatever holds a machine back that its guest cannot see, and what should never happen.
 */
export const COUNTERS: readonly Counter[] = [
  {
    name: 'firecracker_disk_throttled',
    help: 'Times that a machine found one of its drives held back by its rate limiter.',
    source: { group: 'block', field: 'rate_limiter_throttled_events', counts: 'since the last line' },
  },
  {
    name: 'firecracker_entropy_throttled',
    help: 'Times that a machine found its entropy device held back by its rate limiter.',
    source: { group: 'entropy', field: 'entropy_rate_limiter_throttled', counts: 'since the last line' },
  },
  {
    name: 'firecracker_seccomp_faults',
    help: 'Machines that ended because Firecracker wanted a system call that its filter refuses.',
    source: { group: 'seccomp', field: 'num_faults', counts: 'since the start' },
  },
  {
    name: 'firecracker_panics',
    help: 'Machines that ended because Firecracker panicked.',
    source: { group: 'vmm', field: 'panic_count', counts: 'since the start' },
  },
  {
    name: 'firecracker_log_lost',
    help: 'Lines of its log that Firecracker could not write.',
    source: { group: 'logger', field: 'missed_log_count', counts: 'since the last line' },
  },
];

/** Firecracker's own are some 6 KiB. */
export const MAX_LINE_BYTES = 16 * 1024;
/** Of one machine, which writes a line a minute: more than a day of them. The worst that these can be take us seconds. */
export const MAX_LINES = 2_000;
export const MAX_METRICS_BYTES = 16 * 1024 * 1024;
const NEWLINE = 0x0a;

/** What all machines of a monitor have counted since it was made. */
export class MetricsTally {
  readonly #totals = new Map<string, number>(COUNTERS.map(({ name }) => [name, 0]));
  #unheard = 0;

  add(name: string, count: number): void {
    const sum = (this.#totals.get(name) ?? 0) + count;
    this.#totals.set(name, Math.min(sum, Number.MAX_SAFE_INTEGER));
  }

  addUnheard(): void {
    this.#unheard += 1;
  }

  /** The same names at every time. */
  gauges(): readonly BackendGauge[] {
    return [
      ...COUNTERS.map(({ name, help }) => ({ name, help, value: this.#totals.get(name) ?? 0 })),
      {
        name: 'firecracker_metrics_unheard',
        help: 'Machines whose metrics were not heard to the end: a line was none, too long, or one too many, or the last one was not to be had.',
        value: this.#unheard,
      },
    ];
  }
}

/**
 * The metrics that one machine writes, a line of JSON each. A machine that was taken over may write anything, and as fast
 * as it can: the first line that makes no sense is the last.
 */
export class MachineMetrics {
  readonly #tally: MetricsTally;
  /** By name: what the last line said of what counts since the start. */
  readonly #before = new Map<string, number>();
  /** The beginning of a line. */
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #linesLeft = MAX_LINES;
  #bytesLeft = MAX_METRICS_BYTES;
  #isHeard = true;

  constructor(tally: MetricsTally) {
    this.#tally = tally;
  }

  /** Takes the next bytes. False: no more will be listened to. */
  take(chunk: Uint8Array): boolean {
    if (!this.#isHeard) return false;
    this.#bytesLeft -= chunk.length;
    if (this.#bytesLeft < 0 || !this.#takeLines(chunk)) this.giveUp();
    return this.#isHeard;
  }

  /** Listens to no more of them, and counts that once. */
  giveUp(): void {
    if (this.#isHeard) this.#tally.addUnheard();
    this.#isHeard = false;
  }

  /** False where one makes no sense. */
  #takeLines(chunk: Uint8Array): boolean {
    let begin = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, begin)) {
      this.#keep(chunk.subarray(begin, end));
      if (!this.#takeLine()) return false;
      begin = end + 1;
    }
    this.#keep(chunk.subarray(begin));
    return this.#pendingBytes <= MAX_LINE_BYTES;
  }

  #keep(part: Uint8Array): void {
    this.#pending.push(part);
    this.#pendingBytes += part.length;
  }

  #takeLine(): boolean {
    this.#linesLeft -= 1;
    if (this.#linesLeft < 0 || this.#pendingBytes > MAX_LINE_BYTES) return false;
    const metrics = parseObject(Buffer.concat(this.#pending).toString('utf8'));
    this.#pending = [];
    this.#pendingBytes = 0;
    if (metrics !== null) this.#count(metrics);
    return metrics !== null;
  }

  #count(metrics: JsonObject): void {
    for (const { name, source } of COUNTERS) {
      const value = numberAt(metrics, source);
      if (value === null) continue;
      const known = source.counts === 'since the start' ? (this.#before.get(name) ?? 0) : 0;
      this.#before.set(name, value);
      this.#tally.add(name, Math.max(0, value - known));
    }
  }
}

type JsonObject = Readonly<Record<string, unknown>>;

function parseObject(text: string): JsonObject | null {
  try {
    return asObject(JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function asObject(value: unknown): JsonObject | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : null;
}

/** Null where there is no such number, or none that could be a count. */
function numberAt(metrics: JsonObject, { group, field }: Source): number | null {
  const value = asObject(metrics[group])?.[field];
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null;
}
