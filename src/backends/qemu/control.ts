import { type Duplex } from 'node:stream';

import { GlasshouseError } from '../../base/errors.js';

/** Longer answers than any command here has. */
const MAX_LINE_BYTES = 1024 * 1024;
/** Every command here is answered at once by a QEMU that runs; what takes long goes on after the answer. */
const ANSWER_MS = 30_000;

interface Answer {
  readonly return?: unknown;
  readonly error?: { readonly class?: unknown; readonly desc?: unknown };
  readonly QMP?: unknown;
  readonly event?: unknown;
}

interface Waiting {
  readonly command: string;
  readonly timer: NodeJS.Timeout;
  resolve(value: unknown): void;
  reject(error: GlasshouseError): void;
}

/**
 * QEMU's machine protocol (docs/interop/qmp-spec): one JSON object a line, answers in the order of the commands.
 * Events are passed over.
 */
export class QemuControl {
  readonly #stream: Duplex;
  readonly #answerMs: number;
  readonly #waiting: Waiting[] = [];
  #pending = '';
  #failure: GlasshouseError | null = null;

  /** @param answerMs within which each command must be answered, in milliseconds. */
  constructor(stream: Duplex, answerMs = ANSWER_MS) {
    this.#stream = stream;
    this.#answerMs = answerMs;
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      this.#receive(text);
    });
    stream.on('error', () => stream.destroy());
    stream.once('close', () => {
      this.#fail('QEMU has closed its control connection.');
    });
  }

  /** Resolves to what QEMU returns. Throws `vmm_failed` with QEMU's own words. */
  execute(command: string, args: object = {}): Promise<unknown> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(`QEMU did not answer ${command} within ${this.#answerMs / 1000} s.`);
      }, this.#answerMs);
      this.#waiting.push({ command, timer, resolve, reject });
      this.#stream.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    });
  }

  #receive(text: string): void {
    this.#pending += text;
    for (let end = this.#pending.indexOf('\n'); end >= 0; end = this.#pending.indexOf('\n')) {
      const line = this.#pending.slice(0, end);
      this.#pending = this.#pending.slice(end + 1);
      this.#take(line);
    }
    if (this.#pending.length > MAX_LINE_BYTES) this.#fail('QEMU sent an answer without end.');
  }

  #take(line: string): void {
    let answer: Answer;
    try {
      answer = parseAnswer(line);
    } catch (error) {
      this.#fail('QEMU sent an answer that is not a JSON object.', error);
      return;
    }
    if (answer.QMP !== undefined || answer.event !== undefined) return;
    const waiting = this.#waiting.shift();
    clearTimeout(waiting?.timer);
    if (answer.error === undefined) waiting?.resolve(answer.return);
    else {
      const words = `QEMU refused ${waiting?.command ?? 'a command'}: ${JSON.stringify(answer.error.desc)}`;
      waiting?.reject(new GlasshouseError('vmm_failed', words));
    }
  }

  #fail(message: string, cause?: unknown): void {
    this.#failure ??= new GlasshouseError('vmm_failed', message, { cause });
    for (const waiting of this.#waiting.splice(0)) {
      clearTimeout(waiting.timer);
      waiting.reject(this.#failure);
    }
    this.#stream.destroy();
  }
}

/** A QEMU that was taken over may say anything. */
function parseAnswer(line: string): Answer {
  const value: unknown = JSON.parse(line);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('not an object');
  const { error } = value as { error?: unknown };
  if (error !== undefined && (typeof error !== 'object' || error === null))
    throw new TypeError('not an error');
  return value;
}
