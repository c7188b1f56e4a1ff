import { type ErrorCode } from '../base/errors.js';
import { type EndedExecution } from './execution.js';

/** So many executions in a row are no accident. */
const FAILURES_IN_A_ROW = 3;
/** For so long nobody is told to come; then somebody has to, because only an execution shows whether it works again. */
const PAUSE_MS = 30_000;
/** What no request can bring about: a stranger must not be able to take a server out of service. */
const FAILURES_OF_THE_HOST: readonly ErrorCode[] = [
  'backend_unavailable',
  'tool_missing',
  'tool_failed',
  'image_missing',
  'image_corrupt',
  'disk_full',
  'vmm_failed',
  'boot_timeout',
];

/** Whether programs can be started on this host, as far as the last executions show. */
export class StartFailures {
  readonly #now: () => number;
  #inARow = 0;
  #last: { readonly code: ErrorCode; readonly at: number } | null = null;

  /** @param now milliseconds of a clock that never steps back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A program was started. */
  recordStart(): void {
    this.#inARow = 0;
  }

  /** An execution has ended; one whose program was started is known already. */
  recordEnd({ result, outcome }: Pick<EndedExecution, 'result' | 'outcome'>): void {
    const { status, error } = outcome;
    if (
      result !== null ||
      status !== 'infra_error' ||
      error === null ||
      !FAILURES_OF_THE_HOST.includes(error.code)
    )
      return;
    this.#inARow += 1;
    this.#last = { code: error.code, at: this.#now() };
  }

  /** Why the next program would probably not be started, for people; null when nothing speaks against it. */
  reason(): string | null {
    if (this.#last === null || this.#inARow < FAILURES_IN_A_ROW) return null;
    if (this.#now() - this.#last.at >= PAUSE_MS) return null;
    return `No program of the last ${this.#inARow} executions could be started (${this.#last.code}); their receipts say why.`;
  }
}
