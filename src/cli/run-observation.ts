import { type ObservationPlan } from '../engine/observation.js';
import { type ObservationListener, type ObservedEvent } from '../profilers/profiler.js';
import { type Console } from './console.js';
import { EventsFile } from './events-file.js';
import { followLine } from './follow-line.js';
import { ForwardedOutput } from './forward-output.js';
import { type ObservationRequest } from './observation-options.js';
import { type Services } from './services.js';

/** The observation that a command line asks for, and what its events go to until dispose. */
export class RunObservation implements AsyncDisposable {
  readonly plan: ObservationPlan;
  readonly #listener: Listeners;

  readonly #console: Console;
  #reason: string | null = null;

  private constructor(plan: ObservationPlan, listener: Listeners, console: Console) {
    this.plan = plan;
    this.#listener = listener;
    this.#console = console;
  }

  /** Throws `invalid_request` when the file of the events cannot be written. */
  static async open(
    services: Services,
    console: Console,
    request: ObservationRequest,
  ): Promise<RunObservation> {
    const file = request.eventsFile === null ? null : await EventsFile.create(request.eventsFile);
    const listener = new Listeners(console, request.follow, file);
    const plan: ObservationPlan = {
      profiler: await services.profiler(),
      required: request.profile === 'required',
      listener: listener.isWanted ? listener : null,
      onUnavailable: (reason) => {
        observation.#reason = reason;
      },
    };
    const observation = new RunObservation(plan, listener, console);
    return observation;
  }

  /**
   * Says in one line what was not observed. Call it when the run is over: where our stderr is a file that the command
   * writes to as well, its bytes are hashed by then.
   */
  explain(): void {
    if (this.#reason !== null) this.#console.note(`not observed: ${this.#reason}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener.close();
  }
}

/** Passes every event on to the person who follows and to the file. */
class Listeners implements ObservationListener {
  readonly #console: Console;
  readonly #follow: ObservationRequest['follow'];
  readonly #output = new ForwardedOutput();
  #file: EventsFile | null;
  #isFollowed: boolean;

  constructor(console: Console, follow: ObservationRequest['follow'], file: EventsFile | null) {
    this.#console = console;
    this.#follow = follow;
    this.#isFollowed = follow !== null;
    this.#file = file;
  }

  get isWanted(): boolean {
    return this.#isFollowed || this.#file !== null;
  }

  async write(event: ObservedEvent): Promise<void> {
    await this.#writeToFile(event);
    await this.#show(event);
  }

  async close(): Promise<void> {
    await this.#output[Symbol.asyncDispose]();
    try {
      await this.#file?.close();
    } catch (error) {
      this.#giveUpFile(error);
    }
  }

  async #writeToFile(event: ObservedEvent): Promise<void> {
    try {
      await this.#file?.write(event);
    } catch (error) {
      this.#giveUpFile(error);
    }
  }

  async #show(event: ObservedEvent): Promise<void> {
    if (!this.#isFollowed) return;
    const line = this.#follow === 'json' ? JSON.stringify(event) : followLine(event);
    if (line === null) return;
    try {
      await this.#output.write('stderr', Buffer.from(`${line}\n`));
    } catch {
      // Nobody reads our stderr any more: there is no one to tell.
      this.#isFollowed = false;
    }
  }

  #giveUpFile(error: unknown): void {
    const file = this.#file;
    this.#file = null;
    if (file === null) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.#console.note(`the events are not complete in ${file.name}: ${reason}`);
  }
}
