import { asGlasshouseError, type GlasshouseError } from '../../base/errors.js';
import { type OutputSink, type OutputStream } from '../backend.js';

/** Passes a guest's output on to a sink that may be slow, closed, broken or stuck. */
export class OutputDelivery {
  readonly #sink: OutputSink;
  readonly #closed = new Set<OutputStream>();
  #failure: GlasshouseError | null = null;
  #abandoned = false;
  #letGo: (() => void) | null = null;

  constructor(sink: OutputSink) {
    this.#sink = sink;
  }

  /** What the sink failed with; null while it has not. */
  get failure(): GlasshouseError | null {
    return this.#failure;
  }

  /**
   * Resolves when the sink can take more. A stream that nobody takes any more is dropped from then on. Rejects with
   * any other failure of the sink.
   */
  async write(stream: OutputStream, bytes: Uint8Array): Promise<void> {
    if (this.#abandoned || this.#closed.has(stream)) return;
    try {
      await this.#untilTakenOrAbandoned(this.#sink.write(stream, bytes));
    } catch (error) {
      const failure = asGlasshouseError(error);
      if (failure.code !== 'output_closed') {
        this.#failure = failure;
        throw failure;
      }
      this.#closed.add(stream);
    }
  }

  /** Waits for the sink no longer, neither now nor later. */
  abandon(): void {
    this.#abandoned = true;
    this.#letGo?.();
  }

  #untilTakenOrAbandoned(taken: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#letGo = resolve;
      taken.then(resolve, reject);
    });
  }
}
