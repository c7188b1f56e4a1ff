import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, read, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { isatty } from 'node:tty';

const readAsync = promisify(read);
const CHUNK_BYTES = 256 * 1024;

/** What one of our own standard streams is connected to. */
export interface StandardStream {
  readonly descriptor: number;
  readonly kind: 'terminal' | 'file' | 'pipe' | 'socket' | 'other' | 'closed';
  /** Device and inode number of what it is connected to; two streams with the same pair are one stream. */
  readonly device: bigint;
  readonly inode: bigint;
}

/** What the program wrote to a regular file that was its stream. */
export type WrittenHash =
  | { readonly sha256: string; readonly bytes: number; readonly reason: null }
  /** Why nothing true can be said about what was written. */
  | { readonly sha256: null; readonly bytes: null; readonly reason: string };

/** Looks at `descriptor` (0, 1 or 2) without changing its state; never fails. */
export function inspectStandardStream(descriptor: number): StandardStream {
  try {
    const status = fstatSync(descriptor, { bigint: true });
    return { descriptor, kind: kindOf(descriptor, status), device: status.dev, inode: status.ino };
  } catch {
    return { descriptor, kind: 'closed', device: 0n, inode: 0n };
  }
}

/** True after `2>&1`: what is written to either appears in one place, in order. */
export function isSameStream(one: StandardStream, other: StandardStream): boolean {
  if (one.kind === 'closed' || other.kind === 'closed') return false;
  return one.device === other.device && one.inode === other.inode;
}

function kindOf(
  descriptor: number,
  status: { isFile(): boolean; isFIFO(): boolean; isSocket(): boolean },
): StandardStream['kind'] {
  if (isatty(descriptor)) return 'terminal';
  if (status.isFile()) return 'file';
  if (status.isFIFO()) return 'pipe';
  return status.isSocket() ? 'socket' : 'other';
}

/**
 * Remembers where a regular file that is our stdout or stderr stands before the program runs, so that what the program
 * writes to it, by itself and without a pipe in between, can be hashed afterwards.
 */
export class WrittenFile implements Disposable {
  readonly #descriptor: number;
  readonly #before: FileState;
  /** Our own descriptor for reading; null with a reason when the file may only be written. */
  readonly #reader: number | null;
  readonly #whyUnreadable: string;

  /** `descriptor` must be open on a regular file. */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.#before = stateOf(descriptor);
    let reader: number | null = null;
    let why = '';
    try {
      // The kernel's own link to the open file: also right when the file was renamed or removed.
      reader = openSync(`/proc/self/fd/${descriptor}`, constants.O_RDONLY);
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    this.#reader = reader;
    this.#whyUnreadable = why;
  }

  /**
   * Hashes what was written since the constructor ran: from the position then to the position now, or to the end
   * of the file when it is open for appending. What others wrote to the same place meanwhile cannot be told apart.
   */
  async hash(): Promise<WrittenHash> {
    if (this.#reader === null) return unknownBecause(`the file cannot be read: ${this.#whyUnreadable}`);
    const after = stateOf(this.#descriptor);
    const start = this.#before.position;
    const end = after.position;
    if (end < start || after.size < end)
      return unknownBecause('the file was truncated or rewound while the program ran');
    if (after.size > end && after.size > this.#before.size) {
      return unknownBecause('the file was also written past the position of this stream');
    }
    return hashRange(this.#reader, start, end);
  }

  [Symbol.dispose](): void {
    if (this.#reader !== null) closeSync(this.#reader);
  }
}

interface FileState {
  /** Where the next write goes. */
  readonly position: number;
  readonly size: number;
}

/** From proc_pid_fdinfo(5): `pos` is decimal, `flags` is octal. */
function stateOf(descriptor: number): FileState {
  const size = fstatSync(descriptor).size;
  const information = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1');
  const position = Number(/^pos:\s*(\d+)$/m.exec(information)?.[1] ?? 0);
  const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(information)?.[1] ?? '0', 8);
  return { position: (flags & constants.O_APPEND) === 0 ? position : size, size };
}

async function hashRange(descriptor: number, start: number, end: number): Promise<WrittenHash> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, Math.max(end - start, 1)));
  for (let position = start; position < end;) {
    const wanted = Math.min(buffer.length, end - position);
    const { bytesRead } = await readAsync(descriptor, buffer, 0, wanted, position);
    if (bytesRead === 0) return unknownBecause('the file was truncated while it was read');
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
  return { sha256: hash.digest('hex'), bytes: end - start, reason: null };
}

function unknownBecause(reason: string): WrittenHash {
  return { sha256: null, bytes: null, reason };
}
