import { type ServerResponse } from 'node:http';

/** The requests whose answer has not been sent to its end. */
export class OpenRequests {
  readonly #open = new Map<ServerResponse, Promise<void>>();

  add(response: ServerResponse): void {
    const closed = new Promise<void>((resolve) => {
      response.once('close', () => {
        this.#open.delete(response);
        resolve();
      });
    });
    this.#open.set(response, closed);
  }

  /** Resolves when all requests of this moment have their answer, or have lost their client. */
  async answered(): Promise<void> {
    await Promise.all(this.#open.values());
  }
}
