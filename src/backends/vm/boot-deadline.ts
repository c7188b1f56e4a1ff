import { asGlasshouseError, GlasshouseError } from '../../base/errors.js';

/** The caller of what is made for whoever comes. */
export const NOBODY: AbortSignal = new AbortController().signal;

/** The time that one attempt to bring a guest up may take; it ends early when its caller gives up. */
export class BootDeadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  readonly #giveUp = (): void => {
    this.#controller.abort(
      new GlasshouseError('canceled', 'Canceled while a guest booted.', {
        cause: this.#caller.reason,
      }),
    );
  };

  constructor(caller: AbortSignal, timeoutMs: number) {
    this.#caller = caller;
    this.#timer = setTimeout(() => {
      const seconds = Math.round(timeoutMs / 1000);
      this.#controller.abort(
        new GlasshouseError('boot_timeout', `The guest did not start the program within ${seconds} s.`),
      );
    }, timeoutMs);
    if (caller.aborted) this.#giveUp();
    else caller.addEventListener('abort', this.#giveUp, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why the signal was aborted: `boot_timeout` or `canceled`. */
  get failure(): GlasshouseError {
    return asGlasshouseError(this.signal.reason);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#caller.removeEventListener('abort', this.#giveUp);
  }
}

/** Does what a machine that was started needs before it is one; when the time is over first, ends it and throws why. */
export async function bringUp<T>(
  machine: { destroy(): Promise<void> },
  deadline: BootDeadline,
  work: () => Promise<T>,
): Promise<T> {
  const { signal } = deadline;
  const end = (): void => void machine.destroy();
  signal.addEventListener('abort', end, { once: true });
  try {
    signal.throwIfAborted();
    const result = await work();
    // It may have ended the machine while the last answer was already there.
    signal.throwIfAborted();
    return result;
  } catch (error) {
    if (!signal.aborted) throw error;
    await machine.destroy();
    throw deadline.failure;
  } finally {
    signal.removeEventListener('abort', end);
  }
}
