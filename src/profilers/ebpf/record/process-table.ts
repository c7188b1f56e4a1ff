import {
  type ObservedImage,
  type ObservedProcess,
  type ProcessResources,
} from '../../../receipts/observed.js';
import { type Text, textFromBytes } from '../../../receipts/text.js';
import { signalName } from '../number-names.js';
import { type Head, PATH_FLAGS, type ProcessEnded, type ProcessStarted } from '../observer-message.js';
import { type ExecutedWithArgv } from '../argv-joiner.js';
import { marksOf, textOfName } from '../resolve-path.js';
import { type Budget } from './budget.js';

/** Living processes that are looked after at once; further ones are counted and not told apart. */
const MAX_LIVING = 262_144;
const NANOSECONDS_PER_US = 1_000;

interface Entry {
  readonly id: number;
  readonly parent: number | null;
  readonly pid: number;
  readonly namespacePid: number | null;
  readonly startedUs: number;
  readonly images: ObservedImage[];
  end: Pick<ObservedProcess, 'ended_us' | 'exit_code' | 'signal' | 'threads' | 'resources'> | null;
}

/** Names a process for as long as it lives. */
export function processKey(head: Pick<Head, 'pid' | 'birthNs'>): string {
  return `${head.pid}:${head.birthNs}`;
}

/** The processes of the receipt. Those that have ended cost nothing but their entry. */
export class ProcessTable {
  readonly #budget: Budget;
  readonly #startNs: number;
  readonly #listed: Entry[] = [];
  /** Null: lives, and has no place in the receipt. */
  readonly #living = new Map<string, Entry | null>();

  /** `startNs`: CLOCK_MONOTONIC of what counts as the start. */
  constructor(budget: Budget, startNs: number) {
    this.#budget = budget;
    this.#startNs = startNs;
  }

  /** The number of a process in the receipt; null when it has none. */
  idOf(head: Head): number | null {
    return this.#find(head)?.id ?? null;
  }

  start(message: ProcessStarted): void {
    const parent = this.#living.get(`${message.parentPid}:${message.parentBirthNs}`)?.id ?? null;
    const namespacePid = message.inOtherPidNamespace ? message.namespacePid : null;
    this.#add(message, message.isFirst ? null : parent, namespacePid);
  }

  execute(message: ExecutedWithArgv): void {
    const entry = this.#find(message);
    if (entry === null) return;
    const executable = textOfName(message.executable);
    const script = message.isScript ? textFromBytes(message.name.bytes) : null;
    const cwd = textOfName(message.cwd);
    if (!this.#budget.takeEntry('images', executable, script, cwd)) return;
    const argv = this.#argumentsOf(message.argv);
    entry.images.push({
      at_us: this.since(message.timeNs),
      executable,
      script,
      marks: marksOf(message.executable.flags | (message.isNameless ? PATH_FLAGS.detached : 0)),
      argv: argv.texts,
      argv_complete: argv.complete && message.argvComplete,
      cwd,
      uid: message.uid,
      euid: message.euid,
      privileged: message.gainedPrivileges,
    });
  }

  end(message: ProcessEnded): void {
    const entry = this.#find(message);
    this.#living.delete(processKey(message));
    if (entry === null) return;
    const signaled = message.signal !== 0;
    entry.end = {
      ended_us: Math.max(this.since(message.timeNs), entry.startedUs),
      exit_code: signaled ? null : message.exitCode,
      signal: signaled ? signalName(message.signal) : null,
      threads: Math.max(message.threads, 1),
      resources: resourcesOf(message),
    };
  }

  /** Microseconds after the start. */
  since(timeNs: number): number {
    return Math.max(0, Math.round((timeNs - this.#startNs) / NANOSECONDS_PER_US));
  }

  record(): ObservedProcess[] {
    return this.#listed.map(({ id, parent, pid, namespacePid, startedUs, images, end }) => ({
      id,
      parent,
      pid,
      namespace_pid: namespacePid,
      started_us: startedUs,
      images,
      ...(end ?? { ended_us: null, exit_code: null, signal: null, threads: null, resources: null }),
    }));
  }

  /** A process whose start was lost is known from its first deed on. */
  #find(head: Head): Entry | null {
    const known = this.#living.get(processKey(head));
    return known === undefined ? this.#add(head, null, null) : known;
  }

  #add(head: Head, parent: number | null, namespacePid: number | null): Entry | null {
    const entry = this.#budget.takeEntry('processes') ? this.#list(head, parent, namespacePid) : null;
    if (this.#living.size < MAX_LIVING) this.#living.set(processKey(head), entry);
    return entry;
  }

  #list(head: Head, parent: number | null, namespacePid: number | null): Entry {
    const entry: Entry = {
      id: this.#listed.length + 1,
      parent,
      pid: head.pid,
      namespacePid,
      startedUs: this.since(head.timeNs),
      images: [],
      end: null,
    };
    this.#listed.push(entry);
    return entry;
  }

  /** Arguments as far as there is room for them. */
  #argumentsOf(argv: Buffer): { readonly texts: Text[]; readonly complete: boolean } {
    const texts: Text[] = [];
    for (let at = 0; at < argv.length;) {
      const end = argv.indexOf(0, at);
      const text = textFromBytes(argv.subarray(at, end === -1 ? argv.length : end));
      if (!this.#budget.takeText('arguments', text)) return { texts, complete: false };
      texts.push(text);
      if (end === -1) return { texts, complete: false };
      at = end + 1;
    }
    return { texts, complete: true };
  }
}

function resourcesOf(message: ProcessEnded): ProcessResources {
  return {
    max_rss_kb: message.maxRssKb === 0 ? null : message.maxRssKb,
    user_us: Math.round(message.userNs / NANOSECONDS_PER_US),
    system_us: Math.round(message.systemNs / NANOSECONDS_PER_US),
    read_bytes: message.readBytes,
    written_bytes: message.writtenBytes,
    storage_read_bytes: message.storageReadBytes,
    storage_written_bytes: message.storageWrittenBytes,
  };
}
