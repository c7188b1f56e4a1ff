import { existsSync } from 'node:fs';
import {
  type ClientRequest,
  type ClientRequestArgs,
  Agent,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http';
import { type Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { asGlasshouseError, GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { printableTail } from '../../base/printable.js';
import { type Action } from './api-actions.js';

/** Longer than any answer to an action: a word of success, or a fault in a sentence. */
const MAX_ANSWER_BYTES = 65_536;
const LONGEST_FAULT = 500;
/** Between two attempts to reach an API that is not there yet. */
const RETRY_MS = 2;
/** For one attempt at least: to find that nobody is there takes a moment too, and must not pass for silence. */
const SHORTEST_ATTEMPT_MS = 1_000;
/** The socket does not exist yet, or its process does not listen yet. */
const NOT_THERE_YET: readonly (string | null)[] = ['ENOENT', 'ECONNREFUSED'];
/** errno 28 in words: what a monitor says when it cannot write a snapshot. */
const NO_SPACE = 'No space left on device';

/** Keeps one connection open, over which nothing comes but answers. */
class OneConnection extends Agent {
  isSealed = false;
  readonly #end = function (this: Duplex): void {
    this.destroy();
  };

  constructor() {
    super({ keepAlive: true, maxSockets: 1 });
    // While it waits for the next request, nothing has been asked.
    this.on('free', (socket: Duplex) => socket.on('data', this.#end));
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    if (!this.isSealed) return super.createConnection(options, callback);
    const refuse = callback as ((error: Error) => void) | undefined;
    refuse?.(new GlasshouseError('vmm_failed', 'Firecracker has closed the connection to its API.'));
    return null;
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    socket.off('data', this.#end);
    super.reuseSocket(socket, request);
  }
}

/** Firecracker's API over its Unix socket, one request at a time. Owns its connection. */
export class FirecrackerApi implements Disposable {
  readonly #socketPath: string;
  readonly #agent = new OneConnection();
  /** Aborted when the process has ended: nothing will be answered any more. */
  readonly #ended: AbortSignal;

  constructor(socketPath: string, ended: AbortSignal) {
    this.#socketPath = socketPath;
    this.#ended = ended;
  }

  /** Resolves once the API answers; the version that it names. Throws `vmm_failed`. */
  async awaitReady(timeoutMs: number): Promise<string> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      await this.#awaitSocket(deadline);
      const remainingMs = deadline - performance.now();
      try {
        const answer = await this.#exchange(
          'GET',
          '/version',
          null,
          Math.max(SHORTEST_ATTEMPT_MS, remainingMs),
        );
        return versionOf(answer);
      } catch (error) {
        if (!NOT_THERE_YET.includes(systemErrorCode(error))) throw this.#failure('GET /version', error);
        if (remainingMs <= 0) {
          const message = `Firecracker did not open its API within ${timeoutMs / 1000} s.`;
          throw new GlasshouseError('vmm_failed', message, { cause: error });
        }
      }
      await sleep(RETRY_MS);
    }
  }

  /** To look for the socket costs a hundredth of an attempt to connect to it, and the processors have other work. */
  async #awaitSocket(deadline: number): Promise<void> {
    while (!this.#ended.aborted && performance.now() < deadline && !existsSync(this.#socketPath))
      await sleep(RETRY_MS);
  }

  /**
   * From here on the connection that is open serves, or none: what runs in a guest by now may have taken Firecracker over
   * and put anything in the place of its socket.
   */
  seal(): void {
    this.#agent.isSealed = true;
  }

  /** Throws `vmm_failed` with Firecracker's own fault message, or `disk_full`. */
  async perform(action: Action): Promise<void> {
    const { method, path, body, timeoutMs } = action;
    try {
      await this.#exchange(method, path, JSON.stringify(body), timeoutMs);
    } catch (error) {
      throw this.#failure(`${method} ${path}`, error);
    }
  }

  async performAll(actions: Iterable<Action>): Promise<void> {
    for (const action of actions) await this.perform(action);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  /** The text of a successful answer. */
  async #exchange(method: string, path: string, body: string | null, timeoutMs: number): Promise<string> {
    const timeout = AbortSignal.timeout(Math.ceil(timeoutMs));
    const signal = AbortSignal.any([timeout, this.#ended]);
    try {
      return await Promise.race([this.#ask(method, path, body, signal), abortOf(signal)]);
    } catch (error) {
      if (!timeout.aborted) throw error;
      const message = `Firecracker did not answer ${method} ${path} within ${timeoutMs / 1000} s.`;
      throw new GlasshouseError('vmm_failed', message, { cause: error });
    }
  }

  async #ask(method: string, path: string, body: string | null, signal: AbortSignal): Promise<string> {
    const response = await this.#send(method, path, body, signal);
    const text = await readBounded(response);
    if (response.statusCode === 200 || response.statusCode === 204) return text;
    throw refusal(`${method} ${path}`, response.statusCode ?? 0, text);
  }

  #send(method: string, path: string, body: string | null, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        socketPath: this.#socketPath,
        agent: this.#agent,
        method,
        path,
        signal,
        headers: { Host: 'localhost', Accept: 'application/json', ...contentHeaders(body) },
      });
      request.once('response', resolve);
      request.once('error', reject);
      // Some answers, such as an offer to change the protocol, end in neither: the connection is gone then.
      request.once('close', () => {
        reject(new GlasshouseError('vmm_failed', `Firecracker broke off ${method} ${path}.`));
      });
      request.end(body ?? undefined);
    });
  }

  #failure(what: string, error: unknown): GlasshouseError {
    if (error instanceof GlasshouseError) return error;
    const reason = this.#ended.aborted ? 'it has ended' : asGlasshouseError(error).message;
    return new GlasshouseError('vmm_failed', `Firecracker did not answer ${what}: ${reason}.`, {
      cause: error,
    });
  }
}

/** Never resolves: a bound that holds whatever an answer makes of its request. */
function abortOf(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}

function contentHeaders(body: string | null): Readonly<Record<string, string | number>> {
  if (body === null) return {};
  return { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
}

async function readBounded(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) {
      response.destroy();
      throw new GlasshouseError('vmm_failed', 'Firecracker sent an answer without end.');
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function refusal(what: string, status: number, text: string): GlasshouseError {
  const fault = printableTail(stringField(text, 'fault_message') ?? text, LONGEST_FAULT);
  const code = fault.includes(NO_SPACE) ? 'disk_full' : 'vmm_failed';
  return new GlasshouseError(code, `Firecracker refused ${what} (${status}): ${fault}`);
}

function versionOf(text: string): string {
  const version = stringField(text, 'firecracker_version');
  if (version !== null) return version;
  throw new GlasshouseError('vmm_failed', 'Firecracker did not name its version.');
}

/** A process that was taken over may say anything. */
function stringField(text: string, name: string): string | null {
  try {
    const value = (JSON.parse(text) as Readonly<Record<string, unknown>> | null)?.[name];
    return typeof value === 'string' ? value : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
