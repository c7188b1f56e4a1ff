/** What the observer says: docs/observer-link.md, "Observer to host". Times are CLOCK_MONOTONIC in nanoseconds. */

export const OBSERVER_PROTOCOL_VERSION = 1;

export const PATH_FLAGS = {
  truncated: 1,
  deleted: 2,
  chroot: 4,
  namespace: 8,
  detached: 16,
  unresolved: 32,
} as const;

/** A path or a text: raw bytes, because names need not be UTF-8. */
export interface Name {
  readonly bytes: Buffer;
  /** PATH_FLAGS. */
  readonly flags: number;
}

/** A name as a call was given it, and the directory that it starts from. */
export interface Operand {
  readonly directory: Name;
  readonly name: Name;
}

/** What every event begins with. */
export interface Head {
  readonly timeNs: number;
  /** With the pid it is unique. */
  readonly birthNs: number;
  readonly pid: number;
  readonly tid: number;
}

export interface Loaded {
  readonly type: 'loaded';
  readonly machine: number;
  readonly monotonicNs: number;
  readonly bootTimeNs: number;
  readonly hooks: readonly string[];
}

export interface Failed {
  readonly type: 'failed';
  readonly stage: number;
  readonly errno: number;
  readonly reason: string;
  readonly detail: string;
}

export interface ProcessStarted extends Head {
  readonly type: 'process';
  readonly parentBirthNs: number;
  readonly parentPid: number;
  readonly namespacePid: number;
  readonly isFirst: boolean;
  readonly inOtherPidNamespace: boolean;
}

export interface Executed extends Head {
  readonly type: 'exec';
  readonly isScript: boolean;
  readonly isNameless: boolean;
  readonly gainedPrivileges: boolean;
  /** Cut off, or not read at all. */
  readonly argvIncomplete: boolean;
  readonly uid: number;
  readonly euid: number;
  readonly argvBytes: number;
  readonly executable: Name;
  readonly cwd: Name;
  readonly name: Name;
  readonly interpreter: Name;
}

export interface ArgvPart extends Head {
  readonly type: 'argv';
  readonly bytes: Buffer;
}

export interface ProcessEnded extends Head {
  readonly type: 'process_end';
  readonly exitCode: number;
  readonly signal: number;
  readonly coreDumped: boolean;
  readonly threads: number;
  readonly cpuNs: number;
  readonly userNs: number;
  readonly systemNs: number;
  /** 0: unknown. */
  readonly maxRssKb: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly storageReadBytes: number;
  readonly storageWrittenBytes: number;
}

export type FileOrigin = 'opened' | 'inherited' | 'created';

export interface FileUsed extends Head {
  readonly type: 'file';
  /** Sixteen hexadecimal digits; null when no totals will come. */
  readonly file: string | null;
  readonly mode: number;
  readonly flags: number;
  readonly origin: FileOrigin;
  readonly path: Name;
}

export interface FileTotals extends Head {
  readonly type: 'file_totals';
  readonly file: string;
  readonly opens: number;
  readonly readCalls: number;
  readonly writeCalls: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Read or written through memory as well. */
  readonly isMapped: boolean;
}

export interface OpenFailed extends Head {
  readonly type: 'open_failed';
  readonly errno: number;
  readonly flags: number;
  readonly operand: Operand;
}

export interface Changed extends Head {
  readonly type: 'change';
  readonly operation: number;
  readonly errno: number;
  readonly detail: bigint;
  readonly operand: Operand;
  readonly second: Operand;
}

export interface SocketUsed extends Head {
  readonly type: 'socket';
  /** Sixteen hexadecimal digits. */
  readonly socket: string;
  readonly operation: number;
  readonly errno: number;
  readonly family: number;
  readonly kind: number;
  readonly protocol: number;
  readonly given: Buffer;
  readonly own: Buffer;
  readonly peer: Buffer;
}

export interface PeerTotals extends Head {
  readonly type: 'peer_totals';
  readonly socket: string;
  readonly sends: number;
  readonly receives: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly family: number;
  readonly kind: number;
  readonly peer: Buffer;
}

export interface NameQuery extends Head {
  readonly type: 'dns';
  readonly server: Buffer;
  readonly message: Buffer;
}

export interface NotableUsed extends Head {
  readonly type: 'notable';
  readonly abi: number;
  readonly number: number;
  readonly errno: number;
  readonly result: bigint;
  readonly args: readonly bigint[];
}

export interface Heartbeat {
  readonly type: 'heartbeat';
  readonly timeNs: number;
  readonly lost: number;
  readonly threads: number;
}

export interface CallCount {
  readonly abi: number;
  readonly number: number;
  readonly calls: number;
  readonly failed: number;
  readonly notPermitted: number;
  readonly accessDenied: number;
}

export interface SystemCalls {
  readonly type: 'syscalls';
  readonly calls: readonly CallCount[];
}

export interface End {
  readonly type: 'end';
  readonly treeEnded: boolean;
  readonly threadsAlive: number;
  readonly timeNs: number;
  readonly processes: number;
  readonly threads: number;
  readonly cpuNs: number;
  readonly userNs: number;
  readonly systemNs: number;
  readonly maxRssKb: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly storageReadBytes: number;
  readonly storageWrittenBytes: number;
  /** Events that the ring buffer had no room for, by type of frame. */
  readonly lost: ReadonlyMap<number, number>;
  /** By code. */
  readonly gaps: ReadonlyMap<number, number>;
}

/** Whom the sums that follow are about: docs/observer-link.md, "Gathering". */
export interface Doers {
  readonly type: 'doers';
  /** How many events the sums stand for. */
  readonly events: number;
  readonly heads: readonly Head[];
}

/** Places in the last `doers`, each followed by how often it did it. */
export type Shares = readonly number[];

/** Opens of one path, by any number of processes that have ended. */
export interface FileSum {
  readonly type: 'file_sum';
  readonly wasRead: boolean;
  readonly wasWritten: boolean;
  readonly wasCreated: boolean;
  readonly isRegular: boolean;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly path: Name;
  readonly shares: Shares;
}

/** Opens of one path that failed in the same way. */
export interface OpenFailedSum {
  readonly type: 'open_failed_sum';
  readonly errno: number;
  readonly path: Name;
  readonly shares: Shares;
}

/** What happened in the tree. */
export type TreeEvent =
  | ProcessStarted
  | Executed
  | ArgvPart
  | ProcessEnded
  | FileUsed
  | FileTotals
  | OpenFailed
  | Changed
  | SocketUsed
  | PeerTotals
  | NameQuery
  | NotableUsed;

/** What many processes did, added up. */
export type Sum = Doers | FileSum | OpenFailedSum;

export type ObserverMessage =
  | Loaded
  | { readonly type: 'attached'; readonly pid: number; readonly timeNs: number }
  | Failed
  | TreeEvent
  | Sum
  | Heartbeat
  | SystemCalls
  | End
  /** A type from a later version of the observer. */
  | { readonly type: 'unknown'; readonly number: number };

export const OBSERVER_FRAME_TYPES = {
  loaded: 64,
  attached: 65,
  failed: 66,
  process: 67,
  exec: 68,
  argv: 69,
  process_end: 70,
  file: 71,
  file_totals: 72,
  open_failed: 73,
  change: 74,
  socket: 75,
  peer_totals: 76,
  dns: 77,
  notable: 78,
  heartbeat: 79,
  syscalls: 80,
  end: 81,
  doers: 82,
  file_sum: 83,
  open_failed_sum: 84,
} as const satisfies Record<Exclude<ObserverMessage['type'], 'unknown'>, number>;

/** Whether it happened in the tree, and is not about the observation itself. */
export function isTreeEvent(message: ObserverMessage): message is TreeEvent {
  const number = message.type === 'unknown' ? 0 : OBSERVER_FRAME_TYPES[message.type];
  return number >= OBSERVER_FRAME_TYPES.process && number <= OBSERVER_FRAME_TYPES.notable;
}

export function isSum(message: ObserverMessage): message is Sum {
  const number = message.type === 'unknown' ? 0 : OBSERVER_FRAME_TYPES[message.type];
  return number >= OBSERVER_FRAME_TYPES.doers;
}
