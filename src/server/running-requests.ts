import { type ServerResponse } from 'node:http';
import { GlasshouseError } from '../base/errors.js';

/** Every run that a client waits for, so that each can be ended when its client or the server goes. */
export class RunningRequests {
  readonly #running = new Map<AbortController, Promise<unknown>>();

  get count(): number {
    return this.#running.size;
  }

  /** Does `work` with a signal that aborts when the client goes away before it has its answer. */
  async track<T>(response: ServerResponse, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    // The response closes when it was sent completely, or when the connection ended before that. The request
    // is no guide: it closes as soon as its body has been read.
    const onClose = (): void => {
      if (!response.writableFinished)
        controller.abort(new GlasshouseError('canceled', 'The client went away before it had its answer.'));
    };
    response.once('close', onClose);
    if (response.closed) onClose();
    try {
      const promise = work(controller.signal);
      this.#running.set(controller, promise);
      return await promise;
    } finally {
      this.#running.delete(controller);
      response.removeListener('close', onClose);
    }
  }

  abortAll(reason: string): void {
    for (const controller of this.#running.keys()) controller.abort(new GlasshouseError('canceled', reason));
  }

  /** Resolves when none of the runs of this moment is left, however they ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running.values());
  }
}
