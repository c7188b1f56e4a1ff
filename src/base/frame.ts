import { GlasshouseError } from './errors.js';

/** Frames of the guest link and of the observer link: docs/guest-link.md, "Frame". Pure: no descriptor is touched here. */
export const FRAME_HEADER_BYTES = 12;
export const FRAME_MAX_PAYLOAD = 65_536;

export interface Frame {
  readonly type: number;
  readonly sequence: number;
  readonly payload: Buffer;
}

/** Makes the error for what broke the rules of a link. */
export type Violation = (message: string) => GlasshouseError;

/** One frame as bytes. `sequence` wraps at 2^32; the payload must not be longer than FRAME_MAX_PAYLOAD. */
export function encodeFrame(type: number, sequence: number, payload: Uint8Array): Buffer {
  if (payload.length > FRAME_MAX_PAYLOAD) {
    throw new GlasshouseError('internal', `A frame payload of ${payload.length} bytes is too long.`);
  }
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt16LE(type, 4);
  frame.writeUInt16LE(0, 6);
  frame.writeUInt32LE(sequence >>> 0, 8);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/**
 * Cuts a stream of hostile bytes into frames. Holds at most one unfinished frame.
 * Throws a violation at the first malformed header; it must not be used after that.
 */
export class FrameDecoder {
  readonly #violation: Violation;
  #pending: Buffer = Buffer.alloc(0);
  #nextSequence: number;

  /** `nextSequence`: of the first frame; not 0 when the conversation began before. */
  constructor(violation: Violation, nextSequence = 0) {
    this.#violation = violation;
    this.#nextSequence = nextSequence;
  }

  /** The complete frames that end in `chunk`. Payloads may share memory with `chunk`. */
  *push(chunk: Uint8Array): Generator<Frame, void> {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    let offset = 0;
    try {
      for (;;) {
        const frame = this.#decodeAt(offset);
        if (frame === null) return;
        offset += FRAME_HEADER_BYTES + frame.payload.length;
        yield frame;
      }
    } finally {
      this.#pending = this.#pending.subarray(offset);
    }
  }

  /** Throws when the stream ended inside a frame. */
  end(): void {
    if (this.#pending.length > 0) throw this.#violation('it ended inside a frame');
  }

  #decodeAt(offset: number): Frame | null {
    const available = this.#pending.length - offset;
    if (available < FRAME_HEADER_BYTES) return null;
    const length = this.#pending.readUInt32LE(offset);
    if (length > FRAME_MAX_PAYLOAD) throw this.#violation(`a frame of ${length} bytes is too long`);
    const type = this.#pending.readUInt16LE(offset + 4);
    if (this.#pending.readUInt16LE(offset + 6) !== 0) throw this.#violation('a reserved field is not 0');
    const sequence = this.#pending.readUInt32LE(offset + 8);
    if (sequence !== this.#nextSequence) {
      throw this.#violation(`frame ${sequence} came where frame ${this.#nextSequence} was due`);
    }
    if (available - FRAME_HEADER_BYTES < length) return null;
    this.#nextSequence = (this.#nextSequence + 1) >>> 0;
    const start = offset + FRAME_HEADER_BYTES;
    return { type, sequence, payload: this.#pending.subarray(start, start + length) };
  }
}
