import { GlasshouseError } from '../../base/errors.js';
import { type Head, type Name, type Operand, PATH_FLAGS } from './observer-message.js';

const HIGH_WORD = 2 ** 32;
const SLASH = 0x2f;

export function violation(message: string): GlasshouseError {
  return new GlasshouseError(
    'observation_unavailable',
    `The observer broke the rules of its link: ${message}.`,
  );
}

/**
 * Takes the fields of one payload one after the other (docs/observer-link.md, "Observer to host"). Throws
 * `observation_unavailable` when they are not there; bytes behind the last field belong to a later version.
 */
export class PayloadReader {
  readonly #payload: Buffer;
  #offset = 0;

  constructor(payload: Buffer) {
    this.#payload = payload;
  }

  get left(): number {
    return this.#payload.length - this.#offset;
  }

  u16(): number {
    return this.#payload.readUInt16LE(this.#take(2));
  }

  u32(): number {
    return this.#payload.readUInt32LE(this.#take(4));
  }

  /** Exact up to 2^53, which nanoseconds since the start of a machine reach after 104 days; rounded beyond. */
  u64(): number {
    const at = this.#take(8);
    return this.#payload.readUInt32LE(at) + this.#payload.readUInt32LE(at + 4) * HIGH_WORD;
  }

  /** A count or an amount for the receipt, which knows no number beyond 2^53-1. */
  count(): number {
    return Math.min(this.u64(), Number.MAX_SAFE_INTEGER);
  }

  i64(): bigint {
    return this.#payload.readBigInt64LE(this.#take(8));
  }

  /** A u64 that is only a name for something: sixteen hexadecimal digits; null for 0. */
  identity(): string | null {
    const value = this.#payload.readBigUInt64LE(this.#take(8));
    return value === 0n ? null : value.toString(16).padStart(16, '0');
  }

  bytes(length: number): Buffer {
    const at = this.#take(length);
    return this.#payload.subarray(at, at + length);
  }

  rest(): Buffer {
    return this.bytes(this.left);
  }

  head(): Head {
    const timeNs = this.u64();
    const birthNs = this.u64();
    return { timeNs, birthNs, pid: this.u32(), tid: this.u32() };
  }

  /** A path or a text. */
  name(): Name {
    const length = this.u16();
    const flags = this.u16();
    const bytes = this.bytes(length);
    if (bytes.includes(0)) throw violation('a name has a NUL');
    return { bytes, flags };
  }

  /** A name that the kernel resolved: absolute, unless its beginning is missing or nothing could be read. */
  path(): Name {
    const name = this.name();
    const mayBePart = (name.flags & (PATH_FLAGS.truncated | PATH_FLAGS.unresolved)) !== 0;
    if (name.bytes.length > 0 && name.bytes[0] !== SLASH && !mayBePart)
      throw violation('a path is not absolute');
    return name;
  }

  operand(): Operand {
    const directory = this.path();
    return { directory, name: this.name() };
  }

  /** The bytes of a sockaddr; none when there is no address. */
  address(): Buffer {
    return this.bytes(this.u16());
  }

  #take(length: number): number {
    const at = this.#offset;
    if (length > this.left) throw violation(`a payload of ${this.#payload.length} bytes is too short`);
    this.#offset += length;
    return at;
  }
}
