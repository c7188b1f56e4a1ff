import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

import { killChild } from '../../base/child-process.js';
import { GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { encodeFrame, type Frame, FrameDecoder } from '../../base/frame.js';
import { printableTail } from '../../base/printable.js';
import { decodeObserverMessage } from './decode-message.js';
import { LinkOrder } from './link-order.js';
import { type ObserverMessage } from './observer-message.js';
import { violation } from './payload-reader.js';

/** Sizes in the kernel: docs/observer-link.md, "observer". */
export interface ObserverSizes {
  /** A power of two, in bytes. */
  readonly ringBytes: number;
  readonly fileRecords: number;
  readonly peerRecords: number;
  readonly argvBytes: number;
}

const FOLLOW_TYPE = 1;
const KEPT_MESSAGE_BYTES = 4_096;
const SHOWN_MESSAGE_LENGTH = 300;

/** The observer's process and our end of its link. Its owner awaits end(). */
export class ObserverProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<void>;
  #messages = Buffer.alloc(0);

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    // Whoever reads stdout learns of the end; what is written to one that is gone has no reader.
    child.stdin.on('error', () => undefined);
    child.stderr.on('error', () => undefined);
    child.stderr.on('data', (chunk: Buffer) => {
      this.#messages = Buffer.concat([this.#messages, chunk]).subarray(-KEPT_MESSAGE_BYTES);
    });
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => {
        resolve();
      });
    });
  }

  /**
   * Starts it in a session of its own, so that Ctrl-C at a terminal is not meant for it. `gatherMs`: docs/observer-link.md,
   * "Gathering"; 0 for single events.
   */
  static async start(program: string, sizes: ObserverSizes, gatherMs: number): Promise<ObserverProcess> {
    const child = spawn(program, argumentsOf(sizes, gatherMs), {
      stdio: 'pipe',
      detached: true,
      env: {},
      cwd: '/',
    });
    if (child.pid !== undefined) return new ObserverProcess(child);
    const cause = await new Promise((resolve) => child.once('error', resolve));
    throw notStarted(program, cause);
  }

  follow(pid: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(pid);
    this.#child.stdin.write(encodeFrame(FOLLOW_TYPE, 0, payload));
  }

  /** Asks it to detach, to send what it has, and to end. */
  stop(): void {
    this.#child.stdin.end();
  }

  /**
   * What it says, as many messages at a time as came at once, until it says no more. More is read only when it is asked
   * for. Throws `observation_unavailable` when it broke a rule, at the message that did.
   */
  async *say(): AsyncGenerator<Iterable<ObserverMessage>, void> {
    const decoder = new FrameDecoder(violation);
    const order = new LinkOrder();
    for await (const chunk of this.#child.stdout as AsyncIterable<Buffer>)
      yield messagesIn(decoder.push(chunk), order);
    decoder.end();
  }

  /** How it ended, and the last that it wrote for people. Call it when say() is through. */
  async describeEnd(): Promise<string> {
    await this.#exited;
    const { exitCode, signalCode } = this.#child;
    const how = signalCode ?? `exit code ${exitCode ?? 'unknown'}`;
    const words = printableTail(this.#messages.toString('utf8'), SHOWN_MESSAGE_LENGTH);
    return words === '' ? how : `${how}: ${words}`;
  }

  /** Ends it now, wherever it is. Resolves when it is gone. */
  async end(): Promise<void> {
    killChild(this.#child);
    this.#child.stdout.destroy();
    await this.#exited;
  }
}

function* messagesIn(frames: Iterable<Frame>, order: LinkOrder): Generator<ObserverMessage, void> {
  for (const frame of frames) {
    const message = decodeObserverMessage(frame);
    order.accept(message);
    yield message;
  }
}

function argumentsOf(
  { ringBytes, fileRecords, peerRecords, argvBytes }: ObserverSizes,
  gatherMs: number,
): string[] {
  return [
    '--ring-bytes',
    String(ringBytes),
    '--file-records',
    String(fileRecords),
    '--peer-records',
    String(peerRecords),
    '--argv-bytes',
    String(argvBytes),
    '--gather-ms',
    String(gatherMs),
  ];
}

function notStarted(program: string, cause: unknown): GlasshouseError {
  const message =
    systemErrorCode(cause) === 'ENOENT'
      ? `the observer is not there: ${program} (npm run setup builds it)`
      : `the observer ${program} cannot be started: ${String(cause)}`;
  return new GlasshouseError('observation_unavailable', message, { cause });
}
