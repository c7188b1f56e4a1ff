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
  signal(name: NodeJS.Signals): Promise<void>;
  kill(): Promise<void>;
}

/** One validated, fully resolved request to the engine. */
export interface ExecutionRequest {
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
  /** Called once, when the program runs; null when nobody wants to reach it. */
  readonly onStarted: ((control: ExecutionControl) => void) | null;
  /** Gets every captured chunk as it appears; null when nobody listens. */
  readonly listener: OutputSink | null;
  /** Milliseconds from the first instruction of the program; null: no deadline. */
  readonly timeoutMs: number | null;
  readonly limits: Limits;
  /** Null: not observed. */
  readonly observation: ObservationPlan | null;
}
