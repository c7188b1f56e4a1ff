import { type Duplex } from 'node:stream';

import { GlasshouseError } from '../base/errors.js';
import { encodeFrame, FrameDecoder } from './frame.js';
import { decodeGuestMessage, type GuestMessage } from './guest-message.js';
import { GuestOrder, type OutputBounds } from './guest-order.js';
import { encodeHostMessage, HOST_FRAME_TYPES, type HostMessage } from './host-message.js';

/** The host's end of one guest link. Owns neither the stream nor the virtual machine behind it. */
export class GuestConnection {
  readonly #stream: Duplex;
  readonly #bounds: OutputBounds;
  #nextSequence = 0;

  constructor(stream: Duplex, bounds: OutputBounds) {
    this.#stream = stream;
    this.#bounds = bounds;
  }

  /** Queues one message. Resolves when the stream can take more; also when the link is gone. */
  async send(message: HostMessage): Promise<void> {
    if (this.#stream.destroyed || !this.#stream.writable) return;
    const frame = encodeFrame(
      HOST_FRAME_TYPES[message.type],
      this.#nextSequence++,
      encodeHostMessage(message),
    );
    if (this.#stream.write(frame)) return;
    await this.#drained();
  }

  /**
   * The guest's messages in order, each checked against shape, sequence and order. The next one is read only
   * when it is asked for, so a slow consumer slows the guest. Ends when the guest closes the link; throws
   * `guest_link_violation` when it broke a rule, `guest_lost` when the link ended inside a frame.
   */
  async *messages(): AsyncGenerator<GuestMessage, void> {
    const decoder = new FrameDecoder();
    const order = new GuestOrder(this.#bounds);
    for await (const chunk of this.#stream as AsyncIterable<Buffer>) {
      for (const frame of decoder.push(chunk)) {
        const message = decodeGuestMessage(frame);
        order.accept(message);
        yield message;
      }
    }
    expectFrameBoundary(decoder);
  }

  #drained(): Promise<void> {
    const stream = this.#stream;
    return new Promise((resolve) => {
      const settle = (): void => {
        stream.off('drain', settle);
        stream.off('close', settle);
        stream.off('error', settle);
        resolve();
      };
      stream.once('drain', settle);
      stream.once('close', settle);
      stream.once('error', settle);
    });
  }
}

/** A frame that breaks off is what a machine leaves that is ended in mid-sentence: no rule was broken by intent. */
function expectFrameBoundary(decoder: FrameDecoder): void {
  try {
    decoder.end();
  } catch (error) {
    throw new GlasshouseError('guest_lost', 'The guest link ended inside a frame.', { cause: error });
  }
}
