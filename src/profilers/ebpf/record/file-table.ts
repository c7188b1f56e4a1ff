import { type FileAccess } from '../../../receipts/observed.js';
import { textFromBytes } from '../../../receipts/text.js';
import { type FileSum, type FileTotals, type FileUsed, type Head, PATH_FLAGS } from '../observer-message.js';
import { resolveName, type ResolvedPath } from '../resolve-path.js';
import { type Budget } from './budget.js';
import { Doers, Entries } from './doers.js';
import { processKey, type ProcessTable } from './process-table.js';

/** Open files whose totals are awaited; of further ones the bytes are not known. */
const MAX_AWAITED = 524_288;
const FILE_TYPE_MASK = 0o170000;
const REGULAR_FILE = 0o100000;
const ACCESS_MODE_MASK = 3;
const WRITE_ONLY = 1;
const READ_ONLY = 0;

type Side = 'reads' | 'writes';

interface Access {
  readonly path: ResolvedPath;
  readonly doers: Doers;
  bytes: number;
  bytesKnown: boolean;
  created: boolean;
}

/** What the totals under one number of one process belong to. */
interface Awaited {
  readonly sides: Readonly<Record<Side, Access | null>>;
  readonly isRegular: boolean;
  /** Opens that came as events of their own. */
  opens: number;
}

/** The files of the receipt that were opened, read and written. */
export class FileTable {
  readonly #budget: Budget;
  readonly #processes: ProcessTable;
  readonly #entries: Readonly<Record<Side, Entries<Access>>> = {
    reads: new Entries(),
    writes: new Entries(),
  };
  readonly #awaited = new Map<string, Map<string, Awaited>>();
  #awaitedCount = 0;
  #bytesRead = 0;
  #bytesWritten = 0;
  #allCounted = true;

  constructor(budget: Budget, processes: ProcessTable) {
    this.#budget = budget;
    this.#processes = processes;
  }

  use(message: FileUsed): void {
    if (isPlumbing(message)) return;
    const path = resolveName(message.path);
    const opens = message.origin === 'inherited' ? 0 : 1;
    const id = this.#processes.idOf(message);
    const visit = (side: Side): Access | null => {
      if (!touches(message, side)) return null;
      const access = this.#access(side, path);
      access?.doers.add(id, opens, this.#budget);
      if (access !== null && side === 'writes' && message.origin === 'created') access.created = true;
      return access;
    };
    const sides = { reads: visit('reads'), writes: visit('writes') };
    this.#await(message, sides, opens);
  }

  /** `ids`: of the doers, by place. */
  useOften(sum: FileSum, ids: readonly (number | null)[]): void {
    const path = resolveName(sum.path);
    const reads = sum.wasRead ? this.#access('reads', path) : null;
    const writes = sum.wasWritten ? this.#access('writes', path) : null;
    for (const access of [reads, writes]) access?.doers.addShares(sum.shares, ids, this.#budget);
    if (reads !== null) reads.bytes += sum.bytesRead;
    if (writes !== null) writes.bytes += sum.bytesWritten;
    if (writes !== null && sum.wasCreated) writes.created = true;
    if (!sum.isRegular) return;
    this.#bytesRead += sum.bytesRead;
    this.#bytesWritten += sum.bytesWritten;
  }

  count(message: FileTotals): void {
    const files = this.#awaited.get(processKey(message));
    const awaited = files?.get(message.file);
    if (files === undefined || awaited === undefined) return;
    files.delete(message.file);
    this.#awaitedCount -= 1;
    const { reads, writes } = awaited.sides;
    const id = this.#processes.idOf(message);
    const furtherOpens = Math.max(0, message.opens - awaited.opens);
    for (const access of [reads, writes])
      if (furtherOpens > 0) access?.doers.add(id, furtherOpens, this.#budget);
    if (reads !== null) reads.bytes += message.bytesRead;
    if (writes !== null) writes.bytes += message.bytesWritten;
    if (!awaited.isRegular) return;
    this.#bytesRead += message.bytesRead;
    this.#bytesWritten += message.bytesWritten;
  }

  /** Nothing more will come of this process. */
  endProcess(head: Head): void {
    const key = processKey(head);
    const files = this.#awaited.get(key);
    if (files === undefined) return;
    this.#awaited.delete(key);
    this.#awaitedCount -= files.size;
    for (const { sides } of files.values()) this.#markUncounted(sides);
  }

  /** Call it when nothing more will come. */
  record(): {
    readonly reads: FileAccess[];
    readonly writes: FileAccess[];
    readonly bytes_read: number | null;
    readonly bytes_written: number | null;
  } {
    for (const files of this.#awaited.values()) {
      for (const { sides } of files.values()) this.#markUncounted(sides);
    }
    return {
      reads: this.#entries.reads.values().map(recordAccess),
      writes: this.#entries.writes.values().map(recordAccess),
      bytes_read: this.#allCounted ? bounded(this.#bytesRead) : null,
      bytes_written: this.#allCounted ? bounded(this.#bytesWritten) : null,
    };
  }

  #access(side: Side, path: ResolvedPath): Access | null {
    return this.#entries[side].get(`${path.marks.join()}\0${path.bytes.toString('latin1')}`, () => {
      if (!this.#budget.takeEntry(side, textFromBytes(path.bytes))) return null;
      // The path is a view of a chunk: a copy keeps no more than itself.
      const own = { bytes: Buffer.from(path.bytes), marks: path.marks };
      return { path: own, doers: new Doers(), bytes: 0, bytesKnown: true, created: false };
    });
  }

  #await(message: FileUsed, sides: Awaited['sides'], opens: number): void {
    if (message.file === null) {
      this.#markUncounted(sides);
      return;
    }
    const key = processKey(message);
    const files = this.#awaited.get(key) ?? new Map<string, Awaited>();
    const earlier = files.get(message.file);
    if (earlier === undefined && this.#awaitedCount >= MAX_AWAITED) {
      this.#markUncounted(sides);
      return;
    }
    if (earlier === undefined) this.#awaitedCount += 1;
    const isRegular = (message.mode & FILE_TYPE_MASK) === REGULAR_FILE;
    files.set(message.file, { sides, isRegular, opens: (earlier?.opens ?? 0) + opens });
    this.#awaited.set(key, files);
  }

  #markUncounted(sides: Awaited['sides']): void {
    this.#allCounted = false;
    if (sides.reads !== null) sides.reads.bytesKnown = false;
    if (sides.writes !== null) sides.writes.bytesKnown = false;
  }
}

/** Pipes, sockets and event descriptors have no path and are no files to a reader; memory that has the form of a file is. */
function isPlumbing({ path, mode }: FileUsed): boolean {
  return (path.flags & PATH_FLAGS.detached) !== 0 && (mode & FILE_TYPE_MASK) !== REGULAR_FILE;
}

function touches({ flags, origin }: FileUsed, side: Side): boolean {
  const mode = flags & ACCESS_MODE_MASK;
  return side === 'reads' ? mode !== WRITE_ONLY : mode !== READ_ONLY || origin === 'created';
}

function recordAccess({ path, doers, bytes, bytesKnown, created }: Access): FileAccess {
  return {
    path: textFromBytes(path.bytes),
    marks: path.marks,
    ...doers.record(),
    bytes: bytesKnown ? bounded(bytes) : null,
    created,
  };
}

function bounded(bytes: number): number {
  return Math.min(bytes, Number.MAX_SAFE_INTEGER);
}
