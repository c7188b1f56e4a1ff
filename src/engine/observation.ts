import { type BackendDescription, type Hold } from '../backends/backend.js';
import { asGlasshouseError, GlasshouseError } from '../base/errors.js';
import { notObserved } from '../profilers/none.js';
import {
  type ObservationListener,
  type ObservationSession,
  type Observed,
  type Profiler,
  type Unobserved,
} from '../profilers/profiler.js';
import { type ExecutionRedaction } from '../redaction/execution-redaction.js';

/** How an execution is to be observed. */
export interface ObservationPlan {
  readonly profiler: Profiler;
  /** True: what cannot be observed is not run. */
  readonly required: boolean;
  /** Gets what is seen, as it is seen; null: nobody listens. */
  readonly listener: ObservationListener | null;
  /** Told, at most once, why nothing or nothing more is seen. */
  readonly onUnavailable: (reason: string) => void;
}

/** The same plan for listeners who see no more than the receipt will have. */
export function withoutSecrets(
  plan: ObservationPlan | null,
  redaction: ExecutionRedaction,
): ObservationPlan | null {
  if (plan === null) return null;
  const { listener, onUnavailable } = plan;
  return {
    ...plan,
    listener: listener === null ? null : { write: (event) => listener.write(redaction.event(event)) },
    onUnavailable: (reason) => {
      onUnavailable(redaction.message(reason));
    },
  };
}

/**
 * The observation of one execution. Unless it is required it fails open: whatever goes wrong, the command runs, and
 * the record says what was not seen.
 */
export class Observation implements AsyncDisposable {
  readonly #plan: ObservationPlan | null;
  #session: ObservationSession | null = null;
  #reason = 'observation was not requested';
  #refusal: GlasshouseError | null = null;

  private constructor(plan: ObservationPlan | null) {
    this.#plan = plan;
  }

  /** Never rejects: look at `refusal`. */
  static async open(plan: ObservationPlan | null, backend: BackendDescription): Promise<Observation> {
    const observation = new Observation(plan);
    if (plan !== null) await observation.#begin(plan, backend);
    return observation;
  }

  /** Why the execution must not start: it is required to be observed, and cannot be. Null: it may start. */
  get refusal(): GlasshouseError | null {
    return this.#refusal;
  }

  /** What keeps the program from its first instruction until it is observed; null: nothing does. */
  get hold(): Hold | null {
    const session = this.#session;
    if (session === null) return null;
    return { program: session.holdProgram, ready: (pid, signal) => this.#attach(session, pid, signal) };
  }

  /** The program could not be held: true when it may run without being observed. */
  async mayGoOn(error: GlasshouseError): Promise<boolean> {
    if (this.#session === null || error.code !== 'observation_unavailable') return false;
    if (this.#plan?.required === true) return false;
    await this.#lose(error.message);
    return true;
  }

  /** What was seen; call it when everything has ended. Never rejects. */
  async finish(): Promise<Observed | Unobserved> {
    if (this.#session !== null) return this.#session.finish();
    return notObserved(this.#reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]();
  }

  async #begin(plan: ObservationPlan, backend: BackendDescription): Promise<void> {
    try {
      if (backend.isolation !== 'none') throw notSeenFromHere(backend);
      this.#session = await plan.profiler.open({ listener: plan.listener, onLost: plan.onUnavailable });
    } catch (error) {
      const failure = asGlasshouseError(error);
      if (plan.required) this.#refusal = failure;
      await this.#lose(failure.message);
    }
  }

  async #attach(session: ObservationSession, pid: number, signal: AbortSignal): Promise<void> {
    try {
      await session.attach(pid, signal);
    } catch (error) {
      const failure = asGlasshouseError(error);
      if (this.#plan?.required === true || failure.code !== 'observation_unavailable') throw failure;
      await this.#lose(failure.message);
    }
  }

  async #lose(reason: string): Promise<void> {
    const session = this.#session;
    this.#session = null;
    this.#reason = reason;
    if (this.#plan?.required === false) this.#plan.onUnavailable(reason);
    await session?.[Symbol.asyncDispose]();
  }
}

function notSeenFromHere(backend: BackendDescription): GlasshouseError {
  return new GlasshouseError(
    'unsupported_by_backend',
    `the host does not see what a program does in a virtual machine (${backend.name})`,
  );
}
