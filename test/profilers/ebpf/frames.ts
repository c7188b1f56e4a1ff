/** Frames as the observer would send them, built field by field from docs/observer-link.md. */
import { encodeFrame } from '../../../src/base/frame.js';
import {
  type Head,
  type Name,
  OBSERVER_FRAME_TYPES,
  type Operand,
} from '../../../src/profilers/ebpf/observer-message.js';

export const u16 = (value: number): Buffer => bytesOf(2, (buffer) => buffer.writeUInt16LE(value));
export const u32 = (value: number): Buffer => bytesOf(4, (buffer) => buffer.writeUInt32LE(value));
export const u64 = (value: number | bigint): Buffer =>
  bytesOf(8, (buffer) => buffer.writeBigUInt64LE(BigInt(value)));

function bytesOf(length: number, write: (buffer: Buffer) => unknown): Buffer {
  const buffer = Buffer.alloc(length);
  write(buffer);
  return buffer;
}

export function headBytes({ timeNs, birthNs, pid, tid }: Head): Buffer {
  return Buffer.concat([u64(timeNs), u64(birthNs), u32(pid), u32(tid)]);
}

export function nameBytes({ bytes, flags }: Name): Buffer {
  return Buffer.concat([u16(bytes.length), u16(flags), bytes]);
}

export function operandBytes({ directory, name }: Operand): Buffer {
  return Buffer.concat([nameBytes(directory), nameBytes(name)]);
}

export function addressBytes(address: Uint8Array): Buffer {
  return Buffer.concat([u16(address.length), address]);
}

export const named = (text: string, flags = 0): Name => ({ bytes: Buffer.from(text), flags });

export const head = (pid: number, timeNs = 2_000_000_000): Head => ({
  timeNs,
  birthNs: pid * 1_000,
  pid,
  tid: pid,
});

/** A struct sockaddr_in. */
export function inetAddress(address: string, port: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(2, 0);
  bytes.writeUInt16BE(port, 2);
  address.split('.').forEach((part, index) => bytes.writeUInt8(Number(part), 4 + index));
  return bytes;
}

export type FrameName = keyof typeof OBSERVER_FRAME_TYPES;

/** Payloads by type of frame, in the order in which they are sent. */
export type Script = readonly (readonly [FrameName | number, Buffer])[];

/** The stream of a script, sequence numbers included. */
export function streamOf(script: Script): Buffer {
  return Buffer.concat(
    script.map(([type, payload], index) =>
      encodeFrame(typeof type === 'number' ? type : OBSERVER_FRAME_TYPES[type], index, payload),
    ),
  );
}

export const LOADED: Script[number] = [
  'loaded',
  Buffer.concat([
    u32(1),
    u32(62),
    u64(1_000_000_000),
    u64(5_000_000_000),
    u64(1_500_000_000),
    ...[8_388_608, 65_536, 16_384, 131_072].map(u32),
    Buffer.from('tp_btf/sys_exit\0task_storage\0'),
  ]),
];

/** What counts as the start is one second after the clock's. */
export const START_NS = 1_000_000_000;
export const ATTACHED: Script[number] = ['attached', Buffer.concat([u32(1), u32(0), u64(START_NS)])];

export function processFrame(pid: number, parent: number | null, timeNs?: number): Script[number] {
  const parentPid = parent ?? 1;
  const flags = parent === null ? 1 : 0;
  return [
    'process',
    Buffer.concat([
      headBytes(head(pid, timeNs)),
      u64(parentPid * 1_000),
      u32(parentPid),
      u32(pid),
      u32(flags),
    ]),
  ];
}

/** An exec and the frames of its argv. */
export function execFrames(
  pid: number,
  executable: string,
  argv: readonly string[],
  options: { readonly cwd?: string; readonly flags?: number; readonly script?: string } = {},
): Script {
  const joined = Buffer.from(argv.map((argument) => `${argument}\0`).join(''));
  const { cwd = '/work', flags = 0, script = executable } = options;
  return [
    [
      'exec',
      Buffer.concat([
        headBytes(head(pid)),
        u32(flags),
        u32(1_000),
        u32(1_000),
        u32(joined.length),
        nameBytes(named(executable)),
        nameBytes(named(cwd)),
        nameBytes(named(script)),
        nameBytes(named('')),
      ]),
    ],
    ...(joined.length === 0 ? [] : ([['argv', Buffer.concat([headBytes(head(pid)), joined])]] as const)),
  ];
}

export function endFrame(pid: number, exitCode = 0, signal = 0): Script[number] {
  const sums = [3_000_000, 1_000_000, 2_000_000, 4_096, 100, 50, 0, 0].map(u64);
  return [
    'process_end',
    Buffer.concat([headBytes(head(pid)), u32(exitCode), u32(signal), u32(0), u32(1), ...sums]),
  ];
}

export function fileFrame(
  pid: number,
  path: Name,
  options: {
    readonly file?: number;
    readonly flags?: number;
    readonly how?: number;
    readonly mode?: number;
  } = {},
): Script[number] {
  const { file = 7, flags = 0, how = 1, mode = 0o100644 } = options;
  return [
    'file',
    Buffer.concat([
      headBytes(head(pid)),
      u64(file),
      u64(1),
      u32(0),
      u32(mode),
      u32(flags),
      u32(how),
      nameBytes(path),
    ]),
  ];
}

export function fileTotalsFrame(
  pid: number,
  file: number,
  totals: { readonly opens: number; readonly read: number; readonly written: number },
): Script[number] {
  const { opens, read, written } = totals;
  return [
    'file_totals',
    Buffer.concat([headBytes(head(pid)), ...[file, opens, 1, 1, read, written].map(u64), u32(0)]),
  ];
}

/** Processes that sums are about, and how many events they stand for. */
export function doersFrame(pids: readonly number[], events: number): Script[number] {
  return ['doers', Buffer.concat([u32(events), u32(0), ...pids.map((pid) => headBytes(head(pid)))])];
}

export const SUM_FLAGS = { read: 1, written: 2, created: 4, regular: 8 } as const;

/** `shares`: place and times, in turns. */
export function fileSumFrame(
  path: Name,
  flags: number,
  totals: { readonly read: number; readonly written: number },
  shares: readonly number[],
): Script[number] {
  const { read, written } = totals;
  return [
    'file_sum',
    Buffer.concat([u32(flags), u64(read), u64(written), nameBytes(path), ...shares.map(u32)]),
  ];
}

export function openFailedSumFrame(errno: number, path: Name, shares: readonly number[]): Script[number] {
  return ['open_failed_sum', Buffer.concat([u32(errno), nameBytes(path), ...shares.map(u32)])];
}

export function changeFrame(
  pid: number,
  operation: number,
  operand: Operand,
  options: { readonly errno?: number; readonly detail?: number; readonly second?: Operand } = {},
): Script[number] {
  const { errno = 0, detail = 0, second = { directory: named(''), name: named('') } } = options;
  return [
    'change',
    Buffer.concat([
      headBytes(head(pid)),
      u32(operation),
      u32(errno),
      u64(detail),
      operandBytes(operand),
      operandBytes(second),
    ]),
  ];
}

export function socketFrame(
  pid: number,
  operation: number,
  options: {
    readonly errno?: number;
    readonly given?: Buffer;
    readonly peer?: Buffer;
    readonly socket?: number;
  } = {},
): Script[number] {
  const { errno = 0, given = Buffer.alloc(0), peer = Buffer.alloc(0), socket = 9 } = options;
  return [
    'socket',
    Buffer.concat([
      headBytes(head(pid)),
      u64(socket),
      u32(operation),
      u32(errno),
      u16(2),
      u16(1),
      u32(6),
      addressBytes(given),
      addressBytes(Buffer.alloc(0)),
      addressBytes(peer),
    ]),
  ];
}

/** `counts`: (kind, code, value) of the last part. */
export function overFrame(
  counts: readonly (readonly [number, number, number])[] = [],
  options: { readonly treeEnded?: boolean; readonly alive?: number } = {},
): Script[number] {
  const { treeEnded = true, alive = 0 } = options;
  const sums = [9_000_000_000, 1, 1, 3_000_000, 1_000_000, 2_000_000, 4_096, 100, 50, 0, 0].map(u64);
  const entries = counts.flatMap(([kind, code, value]) => [u16(kind), u16(code), u64(value)]);
  return ['end', Buffer.concat([u32(treeEnded ? 1 : 2), u32(alive), ...sums, ...entries])];
}
