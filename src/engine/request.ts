import {
  type InputFile,
  type Limits,
  type OutputPlan,
  type OutputSink,
  type Program,
  type StdinPlan,
} from '../backends/backend.js';

/** What happens to output beyond what is kept. */
export interface CapturePolicy {
  /** Bytes of each stream that are stored beside the receipt. */
  readonly keepBytes: number;
  /** Bytes of each stream after which the execution ends with `output_limit`; null: never. */
  readonly endAfterBytes: number | null;
}

/** One validated, fully resolved request to the engine. */
export interface ExecutionRequest {
  readonly program: Program;
  readonly environment: Readonly<Record<string, string>>;
  readonly inputFiles: readonly InputFile[];
  readonly stdin: StdinPlan;
  readonly stdout: OutputPlan;
  readonly stderr: OutputPlan;
  readonly capture: CapturePolicy;
  /** Gets every captured chunk as it appears; null when nobody listens. */
  readonly listener: OutputSink | null;
  /** Milliseconds from the first instruction of the program; null: no deadline. */
  readonly timeoutMs: number | null;
  readonly limits: Limits;
}
