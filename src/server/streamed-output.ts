import { isUtf8 } from 'node:buffer';
import { type OutputSink, type OutputStream } from '../backends/backend.js';
import { type EventStream } from './event-stream.js';

/**
 * Sends the output of a program as events. The program waits while the client does not read, until the execution is
 * interrupted: then what the client cannot take at once is left out, and only the last event has it.
 */
export class StreamedOutput implements OutputSink {
  readonly #stream: EventStream;
  readonly #offsets: Record<OutputStream, number> = { stdout: 0, stderr: 0 };
  #begin: () => void = () => undefined;
  /** A backend may pass on output before the engine has said that the program runs. */
  readonly #begun = new Promise<void>((resolve) => {
    this.#begin = resolve;
  });
  #waits = true;

  constructor(stream: EventStream) {
    this.#stream = stream;
  }

  begin(executionId: string): void {
    this.#stream.post('started', { execution_id: executionId });
    this.#begin();
  }

  async write(name: OutputStream, chunk: Uint8Array): Promise<void> {
    const offset = this.#offsets[name];
    this.#offsets[name] += chunk.length;
    // A copy is made before anything is waited for: the chunk may be a view of a buffer that is used again.
    const data = { offset, ...encoded(chunk) };
    await this.#begun;
    this.#stream.throwIfGone();
    if (this.#stream.congested && !this.#waits) return;
    this.#stream.post(name, data);
    if (this.#waits) await this.#stream.ready();
    this.#stream.throwIfGone();
  }

  /** Nothing waits for the client any more. */
  letGo(): void {
    this.#waits = false;
    this.#begin();
    this.#stream.wakeAll();
  }
}

/** Text where it is text, so that people can read it; every chunk for itself. */
function encoded(chunk: Uint8Array): { encoding: 'utf8' | 'base64'; data: string } {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const encoding = isUtf8(bytes) ? 'utf8' : 'base64';
  return { encoding, data: bytes.toString(encoding) };
}
