import { setTimeout as delay } from 'node:timers/promises';

import { Deferred } from '../../base/deferred.js';
import { asGlasshouseError, GlasshouseError } from '../../base/errors.js';
import { notObserved } from '../none.js';
import {
  type ObservationListener,
  type ObservationOptions,
  type ObservationSession,
  type Observed,
  type Unobserved,
} from '../profiler.js';
import { ArgvJoiner, type JoinedEvent } from './argv-joiner.js';
import { describeEvent } from './describe-event.js';
import { describeFailure } from './failure-words.js';
import { type End, isTreeEvent, type ObserverMessage } from './observer-message.js';
import { type ObserverProcess } from './observer-process.js';
import { RecordBuilder } from './record/record-builder.js';

/** Loading takes a fraction of a second; a command does not wait for longer than this. */
const ATTACH_DEADLINE_MS = 15_000;
/** When everything has ended, the observer knows it by itself; else something of the command lives on. */
const LAST_EVENTS_MS = 300;
/** An observer that is stopped or hangs says nothing for so long. */
const SILENCE_MS = 2_000;

interface Attached {
  readonly builder: RecordBuilder;
  readonly joiner: ArgvJoiner;
  readonly startNs: number;
}

/** One execution and one observer process. */
export class ObserverSession implements ObservationSession {
  readonly holdProgram: string;
  readonly #process: ObserverProcess;
  readonly #onLost: (reason: string) => void;
  #listener: ObservationListener | null;
  readonly #loaded = new Deferred<undefined>();
  readonly #attachedOnce = new Deferred<undefined>();
  readonly #abandoned = new Deferred<undefined>();
  /** Resolves when the observer says no more. */
  readonly #over: Promise<void>;
  #attached: Attached | null = null;
  #hooks: readonly string[] = [];
  #end: End | null = null;
  #lastSeenNs = 0;
  #messages = 0;
  #unknownMessages = 0;
  /** Why there is no `end`. */
  #lossReason: string | null = null;

  /** Owns the process from here on. */
  constructor(process: ObserverProcess, holdProgram: string, options: ObservationOptions) {
    this.#process = process;
    this.holdProgram = holdProgram;
    this.#listener = options.listener;
    this.#onLost = options.onLost;
    // Whoever attaches awaits both; nobody may come to do so.
    this.#loaded.promise.catch(() => undefined);
    this.#attachedOnce.promise.catch(() => undefined);
    this.#over = this.#listen();
  }

  async attach(pid: number, signal: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const stop = AbortSignal.any([signal, timer.signal]);
    const expired = delay(ATTACH_DEADLINE_MS, undefined, { signal: stop }).then(
      () => {
        throw unavailable(`the observer did not attach within ${ATTACH_DEADLINE_MS / 1000} s`);
      },
      () => {
        throw new GlasshouseError('canceled', 'Canceled before the program was started', {
          cause: signal.reason,
        });
      },
    );
    expired.catch(() => undefined);
    try {
      await Promise.race([this.#loaded.promise, expired]);
      this.#process.follow(pid);
      await Promise.race([this.#attachedOnce.promise, expired]);
    } finally {
      timer.abort();
    }
  }

  async finish(): Promise<Observed | Unobserved> {
    const attached = this.#attached;
    if (attached === null) {
      const reason = this.#lossReason ?? 'the command was never started';
      await this.#process.end();
      await this.#over;
      return notObserved(reason);
    }
    await this.#collect();
    return attached.builder.record({
      hooks: this.#hooks,
      end: this.#end,
      blindFromNs: this.#end === null ? Math.max(this.#lastSeenNs, attached.startNs) : null,
      reason: this.#incompleteness(),
      unknownMessages: this.#unknownMessages,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abandoned.resolve(undefined);
    await this.#process.end();
    await this.#over;
  }

  /** Waits for the last event; ends the observer when it does not come. */
  async #collect(): Promise<void> {
    if (await this.#isOverWithin(LAST_EVENTS_MS)) return;
    this.#process.stop();
    for (let before = -1; this.#messages !== before;) {
      before = this.#messages;
      if (await this.#isOverWithin(SILENCE_MS)) return;
    }
    // Whoever listens may be what holds everything up.
    this.#abandoned.resolve(undefined);
    if (await this.#isOverWithin(SILENCE_MS)) return;
    this.#lossReason = 'the observer did not answer any more and was ended';
    await this.#process.end();
    await this.#over;
  }

  async #isOverWithin(milliseconds: number): Promise<boolean> {
    const timer = new AbortController();
    const late = delay(milliseconds, false, { signal: timer.signal }).catch(() => false);
    const isOver = await Promise.race([this.#over.then(() => true), late]);
    timer.abort();
    return isOver;
  }

  async #listen(): Promise<void> {
    try {
      for await (const messages of this.#process.say()) {
        for (const message of messages) {
          this.#messages += 1;
          const heard = this.#hear(message);
          if (heard !== null) await heard;
        }
      }
      if (this.#end === null)
        this.#lossReason ??= `the observer ended early (${await this.#process.describeEnd()})`;
    } catch (error) {
      this.#lossReason ??= asGlasshouseError(error).message;
      await this.#process.end();
    }
    const rest = this.#attached?.joiner.end() ?? [];
    await this.#pass(rest);
    this.#concludeStart();
    if (this.#attached !== null && this.#end === null)
      this.#onLost(this.#lossReason ?? 'the observer ended early');
  }

  /** A promise only where somebody has to be waited for: there may be millions of messages. */
  #hear(message: ObserverMessage): Promise<void> | null {
    if (isTreeEvent(message)) {
      // Single events come at once; among sums they may overtake what happened before them.
      if (this.#listener !== null) this.#lastSeenNs = Math.max(this.#lastSeenNs, message.timeNs);
      const events = this.#attached?.joiner.push(message) ?? [];
      return this.#pass(events);
    }
    switch (message.type) {
      case 'loaded':
        this.#hooks = message.hooks;
        this.#loaded.resolve(undefined);
        break;
      case 'attached':
        this.#begin(message.timeNs);
        break;
      case 'failed':
        this.#lossReason = describeFailure(message);
        this.#concludeStart();
        break;
      case 'heartbeat':
        this.#lastSeenNs = Math.max(this.#lastSeenNs, message.timeNs);
        break;
      case 'syscalls':
        this.#attached?.builder.countCalls(message);
        break;
      case 'doers':
      case 'file_sum':
      case 'open_failed_sum':
        this.#attached?.builder.addSum(message);
        break;
      case 'end':
        this.#end = message;
        break;
      case 'unknown':
        this.#unknownMessages += 1;
    }
    return null;
  }

  #begin(startNs: number): void {
    this.#attached = { builder: new RecordBuilder(startNs), joiner: new ArgvJoiner(), startNs };
    this.#attachedOnce.resolve(undefined);
  }

  /** Whoever still waits for the start learns that it will not come. */
  #concludeStart(): void {
    const error = unavailable(this.#lossReason ?? 'the observer ended early');
    this.#loaded.reject(error);
    this.#attachedOnce.reject(error);
  }

  #pass(events: readonly JoinedEvent[]): Promise<void> | null {
    for (const event of events) this.#attached?.builder.add(event);
    return this.#listener === null || events.length === 0 ? null : this.#tell(this.#listener, events);
  }

  async #tell(listener: ObservationListener, events: readonly JoinedEvent[]): Promise<void> {
    const startNs = this.#attached?.startNs ?? 0;
    try {
      for (const event of events) {
        await Promise.race([listener.write(describeEvent(event, startNs)), this.#abandoned.promise]);
      }
    } catch {
      // Whoever listened went away, which is theirs to report.
      this.#listener = null;
    }
  }

  #incompleteness(): string | null {
    if (this.#end === null) return this.#lossReason;
    const { treeEnded, threadsAlive } = this.#end;
    return treeEnded ? null : `${threadsAlive} threads of the command lived on when it was over`;
  }
}

function unavailable(message: string): GlasshouseError {
  return new GlasshouseError('observation_unavailable', message);
}
