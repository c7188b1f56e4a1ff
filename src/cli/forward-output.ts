import { constants, fstatSync, openSync } from 'node:fs';

import { type OutputSink, type OutputStream } from '../backends/backend.js';
import { GlasshouseError, asGlasshouseError, systemErrorCode } from '../base/errors.js';
import { PipeWriter } from '../base/pipe-writer.js';
import { DescriptorWriter } from './descriptor-writer.js';

/** Of a pipe, of a socket, and of a write that we gave up ourselves. */
const GONE = ['EPIPE', 'ECONNRESET', 'ECANCELED'];

interface Target {
  write(chunk: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/**
 * Passes captured output on to our own stdout and stderr. Never through `process.stdout`, which blocks the whole
 * process on a full pipe and changes the mode of the descriptor that we share with others.
 */
export class ForwardedOutput implements OutputSink, AsyncDisposable {
  readonly #descriptors: Readonly<Record<OutputStream, number>>;
  readonly #targets = new Map<OutputStream, Target>();

  constructor(descriptors: Readonly<Record<OutputStream, number>> = { stdout: 1, stderr: 2 }) {
    this.#descriptors = descriptors;
  }

  /**
   * Resolves when the other side has taken all of it; rejects with `output_closed` when it went away
   * or this object was disposed of.
   */
  async write(stream: OutputStream, chunk: Uint8Array): Promise<void> {
    try {
      await this.#target(stream).write(chunk);
    } catch (cause) {
      if (!GONE.includes(systemErrorCode(cause) ?? '')) throw asGlasshouseError(cause);
      throw new GlasshouseError('output_closed', `Nobody reads our ${stream} any more`, { cause });
    }
  }

  /** Gives up what is still being written. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const target of this.#targets.values()) await target.close();
    this.#targets.clear();
  }

  #target(stream: OutputStream): Target {
    const existing = this.#targets.get(stream);
    if (existing !== undefined) return existing;
    const descriptor = this.#descriptors[stream];
    const target = pipeTarget(descriptor) ?? new DescriptorWriter(descriptor);
    this.#targets.set(stream, target);
    return target;
  }
}

/**
 * A pipe is opened once more, non-blocking, for ourselves: no thread of ours ever waits in write(2), which would also
 * keep the process from exiting, and whoever shares the user's descriptor does not see it change. Null when it is not
 * a pipe, or one that is not ours to open.
 */
function pipeTarget(descriptor: number): Target | null {
  try {
    if (!fstatSync(descriptor).isFIFO()) return null;
    const own = openSync(`/proc/self/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK);
    return new PipeWriter(own);
  } catch {
    return null; // EACCES: another user's pipe. The descriptor itself still works, or says what is wrong.
  }
}
