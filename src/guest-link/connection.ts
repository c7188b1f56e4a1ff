import { type Duplex } from 'node:stream';

import { GlasshouseError } from '../base/errors.js';
import { encodeFrame, FrameDecoder } from './frame.js';
import { decodeGuestMessage, type GuestMessage } from './guest-message.js';
import { GuestOrder, type OutputBounds } from './guest-order.js';
import { encodeHostMessage, HOST_FRAME_TYPES, type HostMessage } from './host-message.js';

/** How far a conversation has come: the number of frames in each direction. */
export interface LinkPosition {
  readonly sent: number;
  readonly received: number;
}

const BEGINNING: LinkPosition = { sent: 0, received: 0 };
/** Bytes of frames that go to the stream in one piece. */
const BATCH_BYTES = 65_536;

/** The host's end of one guest link. Owns neither the stream nor the virtual machine behind it. */
export class GuestConnection {
  readonly #stream: Duplex;
  readonly #order: GuestOrder;
  readonly #messages: AsyncGenerator<GuestMessage, void>;
  #sent: number;
  #received: number;

  /** `position`: of the conversation that the guest was frozen in; its beginning for a guest that boots. */
  constructor(stream: Duplex, position: LinkPosition = BEGINNING) {
    this.#stream = stream;
    this.#sent = position.sent;
    this.#received = position.received;
    this.#order = new GuestOrder(position.received > 0);
    this.#messages = this.#read(position.received);
  }

  get position(): LinkPosition {
    return { sent: this.#sent, received: this.#received };
  }

  /** What the guest may deliver; nothing before this is called. */
  boundOutput(bounds: OutputBounds): void {
    this.#order.bound(bounds);
  }

  /** Queues one message. Resolves when the stream can take more; also when the link is gone. */
  send(message: HostMessage): Promise<void> {
    return this.#write(this.#encode(message));
  }

  /** The same for many, which wake the guest once and not once each. */
  async sendAll(messages: Iterable<HostMessage>): Promise<void> {
    let batch: Buffer[] = [];
    let bytes = 0;
    for (const message of messages) {
      const frame = this.#encode(message);
      batch.push(frame);
      bytes += frame.length;
      if (bytes < BATCH_BYTES) continue;
      await this.#write(Buffer.concat(batch));
      batch = [];
      bytes = 0;
    }
    if (batch.length > 0) await this.#write(Buffer.concat(batch));
  }

  /**
   * The guest's next message, checked against shape, sequence and order; null when the guest has closed the link.
   * Nothing is read before it is asked for, so a slow consumer slows the guest. Rejects with
   * `guest_link_violation` when the guest broke a rule, `guest_lost` when the link ended inside a frame.
   */
  async next(): Promise<GuestMessage | null> {
    const next = await this.#messages.next();
    return next.done === true ? null : next.value;
  }

  async *#read(firstSequence: number): AsyncGenerator<GuestMessage, void> {
    const decoder = new FrameDecoder(firstSequence);
    for await (const chunk of this.#stream as AsyncIterable<Buffer>) {
      for (const frame of decoder.push(chunk)) {
        const message = decodeGuestMessage(frame);
        this.#order.accept(message);
        this.#received += 1;
        yield message;
      }
    }
    expectFrameBoundary(decoder);
  }

  #encode(message: HostMessage): Buffer {
    return encodeFrame(HOST_FRAME_TYPES[message.type], this.#sent++, encodeHostMessage(message));
  }

  async #write(bytes: Buffer): Promise<void> {
    if (this.#stream.destroyed || !this.#stream.writable || this.#stream.write(bytes)) return;
    await this.#drained();
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
