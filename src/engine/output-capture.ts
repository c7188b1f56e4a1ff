import { createHash } from 'node:crypto';

import { type OutputSink, type OutputStream } from '../backends/backend.js';
import { type CapturedStream } from './completed.js';
import { type CapturePolicy } from './request.js';

/** What one stream was, as far as it was captured. */
export interface CaptureReport extends CapturedStream {
  readonly sha256: string;
}

/** One stream: hashed whole, kept in part, bounded. */
class StreamCapture {
  readonly #policy: CapturePolicy;
  readonly #hash = createHash('sha256');
  readonly #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #totalBytes = 0;
  #cutOff = false;
  /** Until something comes: what it says is asked for several times. */
  #report: CaptureReport | null = null;

  constructor(policy: CapturePolicy) {
    this.#policy = policy;
  }

  get isCutOff(): boolean {
    return this.#cutOff;
  }

  /** Takes what the policy allows and returns it; the rest is dropped and the stream is cut off. */
  take(chunk: Uint8Array): Uint8Array {
    const room = (this.#policy.endAfterBytes ?? Number.POSITIVE_INFINITY) - this.#totalBytes;
    const taken = chunk.length > room ? chunk.subarray(0, room) : chunk;
    if (taken.length < chunk.length) this.#cutOff = true;
    this.#hash.update(taken);
    this.#totalBytes += taken.length;
    this.#keep(taken);
    this.#report = null;
    return taken;
  }

  report(): CaptureReport {
    this.#report ??= {
      kept: Buffer.concat(this.#kept),
      totalBytes: this.#totalBytes,
      truncated: this.#cutOff || this.#totalBytes > this.#keptBytes,
      sha256: this.#hash.copy().digest('hex'),
    };
    return this.#report;
  }

  #keep(bytes: Uint8Array): void {
    const kept = bytes.subarray(0, Math.max(0, this.#policy.keepBytes - this.#keptBytes));
    if (kept.length === 0) return;
    // A copy: the chunk may be a view of a buffer that the backend uses again.
    this.#kept.push(Uint8Array.from(kept));
    this.#keptBytes += kept.length;
  }
}

/** Hashes and keeps the output of one execution and passes it on to a listener. */
export class OutputCapture implements OutputSink {
  readonly #streams: Readonly<Record<OutputStream, StreamCapture>>;
  readonly #listener: OutputSink | null;
  readonly #onLimit: (stream: OutputStream) => void;

  /** `onLimit` is called once per stream that goes over `endAfterBytes`. */
  constructor(policy: CapturePolicy, listener: OutputSink | null, onLimit: (stream: OutputStream) => void) {
    this.#streams = { stdout: new StreamCapture(policy), stderr: new StreamCapture(policy) };
    this.#listener = listener;
    this.#onLimit = onLimit;
  }

  async write(stream: OutputStream, chunk: Uint8Array): Promise<void> {
    const capture = this.#streams[stream];
    if (capture.isCutOff) return;
    const taken = capture.take(chunk);
    // A method call again, because take() may have changed the answer.
    if (this.#streams[stream].isCutOff) this.#onLimit(stream);
    if (taken.length > 0) await this.#listener?.write(stream, taken);
  }

  report(stream: OutputStream): CaptureReport {
    return this.#streams[stream].report();
  }
}
