import { GlasshouseError } from '../base/errors.js';

/** What the host says to guest init: docs/guest-link.md, "Host to guest". */
export type HostMessage =
  | { readonly type: 'clock'; readonly nanoseconds: bigint }
  | { readonly type: 'entropy'; readonly bytes: Uint8Array }
  | {
      readonly type: 'limits';
      readonly memoryBytes: number;
      readonly processes: number;
      readonly outputFiles: number;
      readonly outputFileBytes: number;
    }
  | { readonly type: 'argument'; readonly value: string }
  | { readonly type: 'environment'; readonly name: string; readonly value: string }
  | { readonly type: 'file'; readonly mode: number; readonly sizeBytes: number; readonly path: string }
  | { readonly type: 'file_data'; readonly bytes: Uint8Array }
  | { readonly type: 'start' }
  | { readonly type: 'hold' }
  | { readonly type: 'rehearse' }
  | { readonly type: 'release' }
  | { readonly type: 'stdin'; readonly bytes: Uint8Array }
  | { readonly type: 'stdin_end' }
  | { readonly type: 'signal'; readonly number: number }
  | { readonly type: 'kill' };

export const HOST_FRAME_TYPES = {
  clock: 1,
  entropy: 2,
  limits: 3,
  argument: 4,
  environment: 5,
  file: 6,
  file_data: 7,
  start: 8,
  stdin: 9,
  stdin_end: 10,
  signal: 11,
  kill: 12,
  hold: 13,
  rehearse: 14,
  release: 15,
} as const satisfies Record<HostMessage['type'], number>;

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: bigint | number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function text(value: string): Buffer {
  if (value.includes('\0'))
    throw new GlasshouseError('invalid_request', 'A string contains a NUL character.');
  return Buffer.from(value, 'utf8');
}

/** The payload of the frame that carries `message`. */
export function encodeHostMessage(message: HostMessage): Uint8Array {
  switch (message.type) {
    case 'clock':
      return u64(message.nanoseconds);
    case 'limits':
      return Buffer.concat([
        u64(message.memoryBytes),
        u32(message.processes),
        u32(message.outputFiles),
        u64(message.outputFileBytes),
      ]);
    case 'argument':
      return text(message.value);
    case 'environment':
      return text(`${message.name}=${message.value}`);
    case 'file':
      return Buffer.concat([u32(message.mode), u64(message.sizeBytes), text(message.path)]);
    case 'signal':
      return u32(message.number);
    case 'entropy':
    case 'file_data':
    case 'stdin':
      return message.bytes;
    case 'start':
    case 'hold':
    case 'rehearse':
    case 'release':
    case 'stdin_end':
    case 'kill':
      return Buffer.alloc(0);
  }
}
