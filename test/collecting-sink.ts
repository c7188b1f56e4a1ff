import { type OutputSink, type OutputStream } from '../src/backends/backend.js';

/** Keeps everything, and lets a test wait until a text has appeared. */
export class CollectingSink implements OutputSink {
  readonly chunks: Record<OutputStream, Uint8Array[]> = { stdout: [], stderr: [] };
  #watchers: (() => void)[] = [];

  write(stream: OutputStream, chunk: Uint8Array): Promise<void> {
    this.chunks[stream].push(Uint8Array.from(chunk));
    for (const watcher of this.#watchers) watcher();
    return Promise.resolve();
  }

  bytes(stream: OutputStream): Buffer {
    return Buffer.concat(this.chunks[stream]);
  }

  text(stream: OutputStream): string {
    return this.bytes(stream).toString('utf8');
  }

  /** Resolves when the stream contains `text`. */
  saw(text: string, stream: OutputStream = 'stdout'): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.text(stream).includes(text)) resolve();
      };
      this.#watchers.push(look);
      look();
    });
  }
}
