import {
  type InputFile,
  type Limits,
  type OutputPlan,
  type OutputSink,
  type Program,
  type StderrPlan,
  type StdinPlan,
} from '../backends/backend.js';
import { type ObservationPlan } from './observation.js';

/** What happens to output beyond what is kept. */
export interface CapturePolicy {
  /** Bytes of each stream that are stored beside the receipt. */
  readonly keepBytes: number;
  /** Bytes of each stream after which the execution ends with `output_limit`; null: never. */
  readonly endAfterBytes: number | null;
}

/** What went to a file of the caller's while the program ran, hashed afterwards; null: nothing true can be said. */
export type InheritedHash = () => Promise<{ readonly sha256: string; readonly bytes: number } | null>;

/** Reaches into a running execution. Both do nothing once it has ended. */
export interface ExecutionControl {
  readonly executionId: string;
  signal(name: NodeJS.Signals): Promise<void>;
  kill(): Promise<void>;
}

/** One validated, fully resolved request to the engine. */
export interface ExecutionRequest {
  /** Who asks: clients take turns when there is a queue. */
  readonly client: string;
  readonly program: Program;
  readonly environment: Readonly<Record<string, string>>;
  readonly inputFiles: readonly InputFile[];
  readonly stdin: StdinPlan;
  readonly stdout: OutputPlan;
  readonly stderr: StderrPlan;
  readonly capture: CapturePolicy;
  /** For inherited streams that can be read back; null for all others. */
  readonly inheritedStdout: InheritedHash | null;
  readonly inheritedStderr: InheritedHash | null;
  /** True when stdout and stderr are one pipe or one file. */
  readonly streamsCombined: boolean;
  /** Called when it has to wait, with the number of executions that wait then; null when nobody wants to know. */
  readonly onQueued: ((waiting: number) => void) | null;
  /** Called once, when the program runs; null when nobody wants to reach it. */
  readonly onStarted: ((control: ExecutionControl) => void) | null;
  /** Gets every captured chunk as it appears; null when nobody listens. */
  readonly listener: OutputSink | null;
  /**
   * Called once, when the execution is to be ended before the program ends by itself: a listener that makes the
   * program wait has to let go. Null when there is none that would.
   */
  readonly onInterrupted: (() => void) | null;
  /** Milliseconds from the first instruction of the program; null: no deadline. */
  readonly timeoutMs: number | null;
  /** Milliseconds from the call of run(), the wait for a place and the start included; null: no deadline. */
  readonly deadlineMs: number | null;
  readonly limits: Limits;
  /** Null: not observed. */
  readonly observation: ObservationPlan | null;
  /** True: a virtual machine boots for it, even where one could be cloned. */
  readonly fresh: boolean;
}
