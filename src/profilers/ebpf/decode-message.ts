import { type Frame } from '../../base/frame.js';
import { decodeDoers, decodeFileSum, decodeOpenFailedSum } from './decode-sums.js';
import {
  type CallCount,
  type FileOrigin,
  OBSERVER_FRAME_TYPES,
  OBSERVER_PROTOCOL_VERSION,
  type ObserverMessage,
} from './observer-message.js';
import { PayloadReader, violation } from './payload-reader.js';

type KnownType = keyof typeof OBSERVER_FRAME_TYPES;
type Decode = (reader: PayloadReader) => ObserverMessage;

const FIRST_TYPE = 64;
const MAX_CALL_COUNTS = 1_024;
const FILE_ORIGINS: readonly FileOrigin[] = ['opened', 'inherited', 'created'];
const KIND_LOST = 2;
const KIND_GAP = 3;
const MAX_DETAIL_LENGTH = 1_024;
const MAX_HOOKS = 256;
const MAX_ARGV_PART_BYTES = 4_096;
const MAX_DNS_BYTES = 512;
const LAST_SIGNAL = 64;

/** One frame of the observer's as a message. Throws `observation_unavailable` for what has not the shape. */
export function decodeObserverMessage(frame: Frame): ObserverMessage {
  const name = NAMES.get(frame.type);
  if (name !== undefined) return DECODERS[name](new PayloadReader(frame.payload));
  if (frame.type < FIRST_TYPE) throw violation(`frame type ${frame.type} is not the observer's`);
  return { type: 'unknown', number: frame.type };
}

const NAMES: ReadonlyMap<number, KnownType> = new Map(
  Object.entries(OBSERVER_FRAME_TYPES).map(([name, number]) => [number, name as KnownType]),
);

const DECODERS: Readonly<Record<KnownType, Decode>> = {
  loaded: decodeLoaded,
  attached: (reader) => {
    const pid = reader.u32();
    reader.u32();
    return { type: 'attached', pid, timeNs: reader.u64() };
  },
  failed: (reader) => ({
    type: 'failed',
    stage: reader.u32(),
    errno: reader.u32(),
    reason: reader.name().bytes.toString('utf8').slice(0, MAX_DETAIL_LENGTH),
    detail: reader.name().bytes.toString('utf8').slice(0, MAX_DETAIL_LENGTH),
  }),
  process: (reader) => {
    const head = reader.head();
    const parentBirthNs = reader.u64();
    const parentPid = reader.u32();
    const namespacePid = reader.u32();
    const flags = reader.u32();
    return {
      type: 'process',
      ...head,
      parentBirthNs,
      parentPid,
      namespacePid,
      isFirst: (flags & 1) !== 0,
      inOtherPidNamespace: (flags & 2) !== 0,
    };
  },
  exec: decodeExec,
  argv: (reader) => ({
    type: 'argv',
    ...reader.head(),
    bytes: bounded(reader.rest(), 1, MAX_ARGV_PART_BYTES),
  }),
  process_end: decodeProcessEnd,
  file: (reader) => {
    const head = reader.head();
    const file = reader.identity();
    reader.u64(); // inode
    reader.u32(); // device
    const mode = reader.u32();
    const flags = reader.u32();
    const origin = FILE_ORIGINS[reader.u32() - 1];
    if (origin === undefined) throw violation('a file came in an unknown way');
    return { type: 'file', ...head, file, mode, flags, origin, path: reader.path() };
  },
  file_totals: (reader) => ({
    type: 'file_totals',
    ...reader.head(),
    file: reader.identity() ?? '',
    opens: reader.count(),
    readCalls: reader.count(),
    writeCalls: reader.count(),
    bytesRead: reader.count(),
    bytesWritten: reader.count(),
    isMapped: (reader.u32() & 1) !== 0,
  }),
  open_failed: (reader) => ({
    type: 'open_failed',
    ...reader.head(),
    errno: reader.u32(),
    flags: reader.u32(),
    operand: reader.operand(),
  }),
  change: (reader) => ({
    type: 'change',
    ...reader.head(),
    operation: reader.u32(),
    errno: reader.u32(),
    detail: reader.i64(),
    operand: reader.operand(),
    second: reader.operand(),
  }),
  socket: (reader) => ({
    type: 'socket',
    ...reader.head(),
    socket: reader.identity() ?? '',
    operation: reader.u32(),
    errno: reader.u32(),
    family: reader.u16(),
    kind: reader.u16(),
    protocol: reader.u32(),
    given: reader.address(),
    own: reader.address(),
    peer: reader.address(),
  }),
  peer_totals: (reader) => ({
    type: 'peer_totals',
    ...reader.head(),
    socket: reader.identity() ?? '',
    sends: reader.count(),
    receives: reader.count(),
    bytesSent: reader.count(),
    bytesReceived: reader.count(),
    family: reader.u16(),
    kind: reader.u16(),
    peer: reader.address(),
  }),
  dns: (reader) => {
    const head = reader.head();
    reader.u64(); // socket
    return {
      type: 'dns',
      ...head,
      server: reader.address(),
      message: bounded(reader.rest(), 0, MAX_DNS_BYTES),
    };
  },
  notable: (reader) => ({
    type: 'notable',
    ...reader.head(),
    abi: reader.u16(),
    number: reader.u16(),
    errno: reader.u32(),
    result: reader.i64(),
    args: Array.from({ length: 6 }, () => reader.i64()),
  }),
  heartbeat: (reader) => ({
    type: 'heartbeat',
    timeNs: reader.u64(),
    lost: reader.count(),
    threads: reader.u32(),
  }),
  syscalls: decodeSystemCalls,
  end: decodeEnd,
  doers: decodeDoers,
  file_sum: decodeFileSum,
  open_failed_sum: decodeOpenFailedSum,
};

function decodeLoaded(reader: PayloadReader): ObserverMessage {
  const version = reader.u32();
  if (version !== OBSERVER_PROTOCOL_VERSION) throw violation(`it speaks protocol version ${version}`);
  const machine = reader.u32();
  const monotonicNs = reader.u64();
  reader.u64(); // CLOCK_REALTIME
  const bootTimeNs = reader.u64();
  for (let size = 0; size < 4; size += 1) reader.u32();
  const names = namesIn(reader.rest());
  return { type: 'loaded', machine, monotonicNs, bootTimeNs, hooks: names };
}

/** Each ended by a NUL. What is no name of a hook has no place in a receipt. */
function namesIn(bytes: Buffer): string[] {
  if (bytes.length > 0 && bytes.at(-1) !== 0) throw violation('the last hook has no end');
  const names = bytes.toString('latin1').split('\0', MAX_HOOKS);
  return names.filter((name) => /^[a-z0-9_./:-]{1,128}$/.test(name));
}

function bounded(bytes: Buffer, minimum: number, maximum: number): Buffer {
  if (bytes.length < minimum || bytes.length > maximum) throw violation(`a part of ${bytes.length} bytes`);
  return bytes;
}

function decodeExec(reader: PayloadReader): ObserverMessage {
  const head = reader.head();
  const flags = reader.u32();
  return {
    type: 'exec',
    ...head,
    isScript: (flags & 1) !== 0,
    isNameless: (flags & 2) !== 0,
    gainedPrivileges: (flags & 4) !== 0,
    argvIncomplete: (flags & (8 | 16)) !== 0,
    uid: reader.u32(),
    euid: reader.u32(),
    argvBytes: reader.u32(),
    executable: reader.path(),
    cwd: reader.path(),
    name: reader.name(),
    interpreter: reader.name(),
  };
}

function decodeProcessEnd(reader: PayloadReader): ObserverMessage {
  const head = reader.head();
  const exitCode = reader.u32();
  if (exitCode > 255) throw violation(`exit code ${exitCode} is out of range`);
  const signal = reader.u32();
  if (signal > LAST_SIGNAL) throw violation(`signal ${signal} is out of range`);
  const flags = reader.u32();
  return {
    type: 'process_end',
    ...head,
    exitCode,
    signal,
    coreDumped: (flags & 1) !== 0,
    threads: reader.u32(),
    cpuNs: reader.count(),
    userNs: reader.count(),
    systemNs: reader.count(),
    maxRssKb: reader.count(),
    readBytes: reader.count(),
    writtenBytes: reader.count(),
    storageReadBytes: reader.count(),
    storageWrittenBytes: reader.count(),
  };
}

function decodeSystemCalls(reader: PayloadReader): ObserverMessage {
  const calls: CallCount[] = [];
  while (reader.left > 0) {
    const abi = reader.u16();
    const number = reader.u16();
    reader.u32();
    calls.push({
      abi,
      number,
      calls: reader.count(),
      failed: reader.count(),
      notPermitted: reader.count(),
      accessDenied: reader.count(),
    });
  }
  if (calls.length === 0 || calls.length > MAX_CALL_COUNTS)
    throw violation(`${calls.length} counts of system calls`);
  return { type: 'syscalls', calls };
}

function decodeEnd(reader: PayloadReader): ObserverMessage {
  const why = reader.u32();
  const fields = {
    threadsAlive: reader.u32(),
    timeNs: reader.u64(),
    processes: reader.count(),
    threads: reader.count(),
    cpuNs: reader.count(),
    userNs: reader.count(),
    systemNs: reader.count(),
    maxRssKb: reader.count(),
    readBytes: reader.count(),
    writtenBytes: reader.count(),
    storageReadBytes: reader.count(),
    storageWrittenBytes: reader.count(),
  };
  const lost = new Map<number, number>();
  const gaps = new Map<number, number>();
  while (reader.left > 0) {
    const kind = reader.u16();
    const code = reader.u16();
    const value = reader.count();
    if (value > 0 && kind === KIND_LOST) lost.set(code, value);
    if (value > 0 && kind === KIND_GAP) gaps.set(code, value);
  }
  return { type: 'end', treeEnded: why === 1, ...fields, lost, gaps };
}
