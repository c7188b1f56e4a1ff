import { type Frame, violation } from './frame.js';

export type OutputKind = 'file' | 'too_large' | 'symlink' | 'other' | 'unreadable';
export type StartStage = 'clock_or_entropy' | 'workspace' | 'input_file' | 'limits' | 'process' | 'exec';

/** What guest init says to the host: docs/guest-link.md, "Guest to host". Every field is hostile. */
export type GuestMessage =
  | { readonly type: 'hello'; readonly version: number; readonly uptimeNs: bigint }
  | { readonly type: 'held' }
  | { readonly type: 'rehearsed' }
  | { readonly type: 'started'; readonly uptimeNs: bigint }
  | { readonly type: 'start_failed'; readonly stage: StartStage; readonly errno: number }
  | { readonly type: 'stdout' | 'stderr'; readonly bytes: Buffer }
  | { readonly type: 'stdin_credit'; readonly bytes: number }
  | {
      readonly type: 'exited';
      readonly exitCode: number;
      readonly signal: number;
      readonly outOfMemory: boolean;
      readonly maxRssKb: number;
      readonly userMicros: number;
      readonly systemMicros: number;
      readonly uptimeNs: bigint;
    }
  | {
      readonly type: 'output_file';
      readonly kind: OutputKind;
      readonly mode: number;
      readonly sizeBytes: number;
      readonly path: Buffer;
    }
  | { readonly type: 'output_data'; readonly bytes: Buffer }
  | { readonly type: 'output_end'; readonly tooManyFiles: boolean; readonly notAllRead: boolean };

export const GUEST_FRAME_TYPES = {
  hello: 64,
  started: 65,
  start_failed: 66,
  stdout: 67,
  stderr: 68,
  stdin_credit: 69,
  exited: 70,
  output_file: 71,
  output_data: 72,
  output_end: 73,
  held: 74,
  rehearsed: 75,
} as const satisfies Record<GuestMessage['type'], number>;

export const LINK_PROTOCOL_VERSION = 4;
const START_STAGES: readonly StartStage[] = [
  'clock_or_entropy',
  'workspace',
  'input_file',
  'limits',
  'process',
  'exec',
];
const OUTPUT_KINDS: readonly OutputKind[] = ['file', 'too_large', 'symlink', 'other', 'unreadable'];
const MAX_PATH_BYTES = 4095;
const MAX_ERRNO = 4095;

function expectLength(payload: Buffer, length: number, name: string): void {
  if (payload.length !== length) throw violation(`${name} has ${payload.length} bytes instead of ${length}`);
}

/** A u64 that must stay exact as a JavaScript number; no honest guest exceeds it. */
function boundedU64(payload: Buffer, offset: number, name: string): number {
  const value = payload.readBigUInt64LE(offset);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw violation(`${name} is out of range`);
  return Number(value);
}

function choose<T>(values: readonly T[], oneBased: number, name: string): T {
  const value = values[oneBased - 1];
  if (value === undefined) throw violation(`${name} ${oneBased} is unknown`);
  return value;
}

function nonEmpty(payload: Buffer, name: string): Buffer {
  if (payload.length === 0) throw violation(`${name} is empty`);
  return payload;
}

function decodeHello(payload: Buffer): GuestMessage {
  expectLength(payload, 12, 'hello');
  const version = payload.readUInt32LE(0);
  if (version !== LINK_PROTOCOL_VERSION) throw violation(`guest init speaks protocol version ${version}`);
  return { type: 'hello', version, uptimeNs: payload.readBigUInt64LE(4) };
}

function decodeStartFailed(payload: Buffer): GuestMessage {
  expectLength(payload, 8, 'start_failed');
  const errno = payload.readUInt32LE(4);
  if (errno > MAX_ERRNO) throw violation(`errno ${errno} is out of range`);
  return { type: 'start_failed', stage: choose(START_STAGES, payload.readUInt32LE(0), 'start stage'), errno };
}

function decodeExited(payload: Buffer): GuestMessage {
  expectLength(payload, 44, 'exited');
  const exitCode = payload.readUInt32LE(0);
  const signal = payload.readUInt32LE(4);
  const flags = payload.readUInt32LE(8);
  if (exitCode > 255 || signal > 64 || (exitCode !== 0 && signal !== 0)) {
    throw violation(`exit code ${exitCode} with signal ${signal} is impossible`);
  }
  if (flags > 1) throw violation(`exited has unknown flags ${flags}`);
  return {
    type: 'exited',
    exitCode,
    signal,
    outOfMemory: flags === 1,
    maxRssKb: boundedU64(payload, 12, 'max RSS'),
    userMicros: boundedU64(payload, 20, 'user time'),
    systemMicros: boundedU64(payload, 28, 'system time'),
    uptimeNs: payload.readBigUInt64LE(36),
  };
}

function isInsideWorkspace(path: Buffer): boolean {
  return path
    .toString('latin1')
    .split('/')
    .every((segment) => segment.length > 0 && segment.length <= 255 && segment !== '.' && segment !== '..');
}

function decodeOutputFile(payload: Buffer): GuestMessage {
  if (payload.length < 17) throw violation('output_file is too short');
  const mode = payload.readUInt32LE(4);
  if (mode > 0o7777) throw violation(`mode ${mode.toString(8)} is out of range`);
  const path = Buffer.from(payload.subarray(16));
  if (path.length > MAX_PATH_BYTES || path.includes(0) || !isInsideWorkspace(path)) {
    throw violation('the path of an output file leaves the workspace or is malformed');
  }
  return {
    type: 'output_file',
    kind: choose(OUTPUT_KINDS, payload.readUInt32LE(0), 'output kind'),
    mode,
    sizeBytes: boundedU64(payload, 8, 'file size'),
    path,
  };
}

function decodeOutputEnd(payload: Buffer): GuestMessage {
  expectLength(payload, 4, 'output_end');
  const flags = payload.readUInt32LE(0);
  if (flags > 3) throw violation(`output_end has unknown flags ${flags}`);
  return { type: 'output_end', tooManyFiles: (flags & 1) !== 0, notAllRead: (flags & 2) !== 0 };
}

function decodeStdinCredit(payload: Buffer): GuestMessage {
  expectLength(payload, 4, 'stdin_credit');
  const bytes = payload.readUInt32LE(0);
  if (bytes === 0) throw violation('stdin_credit grants nothing');
  return { type: 'stdin_credit', bytes };
}

/** Reads one frame of the guest. Throws `guest_link_violation`. Byte fields may share memory with the frame. */
export function decodeGuestMessage(frame: Frame): GuestMessage {
  const { type, payload } = frame;
  switch (type) {
    case GUEST_FRAME_TYPES.hello:
      return decodeHello(payload);
    case GUEST_FRAME_TYPES.held:
      expectLength(payload, 0, 'held');
      return { type: 'held' };
    case GUEST_FRAME_TYPES.rehearsed:
      expectLength(payload, 0, 'rehearsed');
      return { type: 'rehearsed' };
    case GUEST_FRAME_TYPES.started:
      expectLength(payload, 8, 'started');
      return { type: 'started', uptimeNs: payload.readBigUInt64LE(0) };
    case GUEST_FRAME_TYPES.start_failed:
      return decodeStartFailed(payload);
    case GUEST_FRAME_TYPES.stdout:
      return { type: 'stdout', bytes: nonEmpty(payload, 'stdout') };
    case GUEST_FRAME_TYPES.stderr:
      return { type: 'stderr', bytes: nonEmpty(payload, 'stderr') };
    case GUEST_FRAME_TYPES.stdin_credit:
      return decodeStdinCredit(payload);
    case GUEST_FRAME_TYPES.exited:
      return decodeExited(payload);
    case GUEST_FRAME_TYPES.output_file:
      return decodeOutputFile(payload);
    case GUEST_FRAME_TYPES.output_data:
      return { type: 'output_data', bytes: nonEmpty(payload, 'output_data') };
    case GUEST_FRAME_TYPES.output_end:
      return decodeOutputEnd(payload);
    default:
      throw violation(`frame type ${type} is unknown`);
  }
}
