import {
  type FileSystemRecord,
  type HostObservation,
  type NetworkRecord,
  type NotObserved,
  type ObservedProcess,
  type SystemCallRecord,
} from '../receipts/observed.js';
import { type Resources } from '../receipts/receipt.js';

/** What was seen of one execution, as the receipt has it. */
export interface Observed {
  readonly observation: HostObservation;
  readonly processTree: readonly ObservedProcess[];
  readonly filesystem: FileSystemRecord;
  readonly network: NetworkRecord;
  readonly syscalls: SystemCallRecord;
  /** Of the whole tree; null: not known. */
  readonly resources: Resources | null;
}

/** Nothing was seen; `observation` says why. */
export interface Unobserved {
  readonly observation: NotObserved;
}

/** Takes what is seen, as it is seen. */
export interface ObservationListener {
  /**
   * Resolves when it can take more: until then nothing further is read, and in the end the kernel drops events, which
   * the receipt counts. A rejection ends the listening, not the observation.
   */
  write(event: ObservedEvent): Promise<void>;
}

/** One thing that happened: plain JSON, snake_case, with texts as a receipt has them. */
export interface ObservedEvent {
  readonly event: string;
  /** Microseconds after the start. */
  readonly at_us: number;
  readonly pid: number;
  readonly [field: string]: unknown;
}

export interface ObservationOptions {
  /** Null: nobody listens. */
  readonly listener: ObservationListener | null;
  /** Called at most once, when an observation that had begun comes to an end before its time. */
  readonly onLost: (reason: string) => void;
}

/** The observation of one execution, from before it starts until it has ended. */
export interface ObservationSession extends AsyncDisposable {
  /** A program that is started in the command's place, waits, and becomes it: docs/observer-link.md, "hold". */
  readonly holdProgram: string;
  /**
   * Resolves when nothing that the process will do can be missed. It must be a child of ours that is held before its
   * first instruction. Rejects with `observation_unavailable`, saying why, or `canceled`.
   */
  attach(pid: number, signal: AbortSignal): Promise<void>;
  /** Everything has ended: resolves, within a bounded time, to what was seen. Never rejects. */
  finish(): Promise<Observed | Unobserved>;
}

/** Watches executions from outside. Optional: an execution goes on without it. */
export interface Profiler {
  /** Begins to observe. Rejects with `observation_unavailable` when it is clear that it cannot be done. */
  open(options: ObservationOptions): Promise<ObservationSession>;
}
