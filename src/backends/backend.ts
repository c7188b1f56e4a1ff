import { type GlasshouseError } from '../base/errors.js';

/** How strongly an execution is separated from the host; goes into the receipt word for word. */
export type Isolation = 'none' | 'vm-kvm' | 'vm-tcg';

/** Bounds of one execution, fully resolved: nothing optional is left. */
export interface Limits {
  /** Memory of the program in MiB: its processes and what it writes to memory file systems. */
  readonly memoryMb: number;
  /** Virtual CPUs. */
  readonly cpus: number;
  /** Size of the workspace in MiB. */
  readonly diskMb: number;
  /** Processes and threads that may exist at once. */
  readonly pids: number;
  /** Bytes of stdout and of stderr, each, before the execution is ended with `output_limit`. */
  readonly outputBytes: number;
}

/** What one execution takes of the host at most, with what its isolation costs. */
export interface Footprint {
  readonly memoryMb: number;
  readonly cpus: number;
}

/** A number that a backend reports about itself, for GET /metrics. */
export interface BackendGauge {
  /** Lower case letters, digits and `_`, with the unit at its end, for example `pool_resident_bytes`. */
  readonly name: string;
  /** One sentence for people. */
  readonly help: string;
  readonly value: number;
}

/** What to run: a Python program, or a command with its arguments. */
export type Program =
  | { readonly kind: 'python'; readonly code: string; readonly args: readonly string[] }
  | { readonly kind: 'command'; readonly argv: readonly [string, ...string[]] };

/** Where the code of a Python program lies in the workspace; no input file may take its place. */
export const PYTHON_CODE_FILE = 'code.py';

export interface InputFile {
  /** Relative to the workspace, `/`-separated, already checked to stay inside it. */
  readonly path: string;
  readonly content: Uint8Array;
  readonly executable: boolean;
}

export type OutputStream = 'stdout' | 'stderr';

/** Takes the output of a program as it appears. */
export interface OutputSink {
  /**
   * Resolves when the sink can take more; until then the backend must stop reading (backpressure).
   * Rejects with `output_closed` when nobody takes this stream any more: the backend then closes its end, so that
   * a program on this host gets SIGPIPE as it would without us, and goes on. Any other rejection ends the
   * execution: the program is killed and wait() rejects with that error.
   */
  write(stream: OutputStream, chunk: Uint8Array): Promise<void>;
}

/**
 * `inherit`: the program gets the descriptor of this very process; only a backend without isolation can do it.
 * `closed`: the program reads end of file at once.
 */
export type StdinPlan = 'inherit' | 'closed' | AsyncIterable<Uint8Array>;
export type OutputPlan = 'inherit' | 'capture';
/** `with_stdout`: both streams are one, as after `2>&1`; the sink gets all of it as `stdout`, in order. */
export type StderrPlan = OutputPlan | 'with_stdout';

/** Keeps a program from its first instruction until somebody is ready to watch it. */
export interface Hold {
  /** Waits in the program's place and then executes it: docs/observer-link.md, "hold". */
  readonly program: string;
  /** Called once with the held process. Resolves when it may go on; when it rejects, the program is not started. */
  ready(pid: number, signal: AbortSignal): Promise<void>;
}

export interface ExecutionSpec {
  /** UUIDv7, lower case. */
  readonly executionId: string;
  readonly program: Program;
  /** The complete environment of the program. */
  readonly environment: Readonly<Record<string, string>>;
  readonly inputFiles: readonly InputFile[];
  readonly stdin: StdinPlan;
  readonly stdout: OutputPlan;
  readonly stderr: StderrPlan;
  /** Receives what is captured. */
  readonly sink: OutputSink;
  readonly limits: Limits;
  /** Null: not held. Only a backend without isolation can do it: the others ignore it. */
  readonly hold: Hold | null;
  /** True: a virtual machine boots for it, even where one could be cloned. */
  readonly fresh: boolean;
}

/** A machine that was frozen, and that others are clones of. */
export interface SnapshotIdentity {
  /** Of the snapshot's manifest, which has the digests of all its parts. */
  readonly sha256: string;
  readonly createdAt: Date;
}

/** Where the environment of a program came from. `pooled`: a clone that had been made before it was asked for. */
export type GuestOrigin =
  | { readonly start: 'cold'; readonly snapshot: null }
  | { readonly start: 'restored' | 'pooled'; readonly snapshot: SnapshotIdentity };

/** One started execution. The backend that made it is the only one that can look inside. */
export interface ExecutionHandle {
  readonly executionId: string;
  /** Resolves when the program itself has ended; what it left is still being collected then. Never rejects. */
  readonly programEnded: Promise<void>;
  /** Milliseconds from the call of start() to the first instruction of the program. */
  readonly bootMs: number;
  /** Stages of `bootMs` in order, in milliseconds. */
  readonly bootStages: Readonly<Record<string, number>>;
  readonly origin: GuestOrigin;
}

/** How the program ended, as far as the backend can know. */
export type Termination =
  | { readonly kind: 'exited'; readonly exitCode: number }
  | { readonly kind: 'signaled'; readonly signal: NodeJS.Signals | `SIG${string}` }
  /** The kernel killed it, or a part of it, because `memoryMb` was used up. */
  | { readonly kind: 'out_of_memory' }
  /** The backend lost the program: the virtual machine died, stopped, or broke the guest link's rules. */
  | { readonly kind: 'lost'; readonly error: GlasshouseError };

export interface ResourceUsage {
  /** Who measured: the host's kernel or the guest's. */
  readonly source: 'host' | 'guest';
  readonly maxRssKb: number;
  readonly userMicros: number;
  readonly systemMicros: number;
}

/** Why the bytes of a file that the program left behind are not part of the result. */
export type OmissionReason = 'not_a_regular_file' | 'too_large' | 'too_many_files' | 'unreadable';

/** A file that the program left in its workspace. Its name and bytes are hostile. */
export interface OutputFile {
  /** Relative to the workspace; raw bytes, because names need not be UTF-8. Never a path to open. */
  readonly path: Uint8Array;
  /** Permission bits as the guest reports them. */
  readonly mode: number;
  readonly sizeBytes: number;
  /** Computed on the host over the bytes that arrived; null when they were omitted. */
  readonly sha256: string | null;
  readonly omitted: OmissionReason | null;
  /** Reads the bytes in chunks, synchronously from the page cache; valid until cleanup(). Empty when omitted. */
  read(): Iterable<Uint8Array>;
}

export interface ExecutionResult {
  readonly termination: Termination;
  /** Milliseconds from the first instruction to the end, by the host's monotonic clock. */
  readonly runMs: number;
  /** Milliseconds from there until the environment had handed over what the program left. */
  readonly collectMs: number;
  readonly resources: ResourceUsage | null;
  readonly outputFiles: readonly OutputFile[];
  /** False when the workspace could not be read back to its end; `outputFiles` is then what arrived. */
  readonly outputFilesComplete: boolean;
}

/** Facts for the receipt and /health; known after prepare(). */
export interface BackendDescription {
  readonly name: string;
  readonly isolation: Isolation;
  /** For example `QEMU 7.2.22`; null when there is no virtual machine. */
  readonly vmmVersion: string | null;
  /** False when `limits` is ignored, apart from `outputBytes`, which the engine enforces. */
  readonly enforcesLimits: boolean;
  /** sha256 by part (kernel, initramfs, root); null when there is no image. */
  readonly imageDigests: Readonly<Record<string, string>> | null;
  /** What executions with the default limits are cloned from; null when nothing is. */
  readonly snapshot: SnapshotIdentity | null;
  /** What an honest reader should know, for example that privileges could not be dropped. */
  readonly notes: readonly string[];
}

export interface ProbeReport {
  readonly backend: string;
  readonly verdict: 'works' | 'works_without_acceleration' | 'cannot';
  /** What was tried and what was seen. */
  readonly detail: string;
  /** The one thing to do about it; null when there is nothing to do. */
  readonly advice: string | null;
  /** True when what runs there is kept apart from this machine. */
  readonly isolates: boolean;
  /** How far this machine follows what is asked of one that runs strangers' code; a line each. */
  readonly findings: readonly string[];
}

/**
 * Where executions run. Backends are swappable: one contract suite (test/contract) holds for all of them.
 * All methods may throw a GlasshouseError; none throws anything else on purpose.
 */
export interface ExecutionBackend {
  readonly name: string;
  /** Checks tools, image and accelerator. Idempotent; safe to call at the same time from several places. */
  prepare(signal: AbortSignal): Promise<void>;
  /** Valid after prepare(). */
  describe(): BackendDescription;
  /**
   * What an execution with these limits takes of this machine; valid at any time. Nothing, where limits are not
   * enforced: then nobody can say.
   */
  footprint(limits: Limits): Footprint;
  /** Numbers of this moment; cheap, because whoever reads the metrics waits for it. The same names at every time. */
  gauges(): readonly BackendGauge[];
  /** Tries for real whether this backend works here. Never throws for a machine that lacks something. */
  probe(signal: AbortSignal): Promise<ProbeReport>;
  /** Resolves when the program runs. Rejects, leaving nothing behind, when it cannot be started. */
  start(spec: ExecutionSpec, signal: AbortSignal): Promise<ExecutionHandle>;
  /** Resolves when the program has ended and all it wrote has been passed on. May be called more than once. */
  wait(handle: ExecutionHandle): Promise<ExecutionResult>;
  /** Sends a signal to the program; does nothing when it has already ended. */
  signal(handle: ExecutionHandle, signal: NodeJS.Signals): Promise<void>;
  /**
   * Ends the program and everything that it started. wait() resolves within a bounded time after this, with
   * what could still be collected. Idempotent.
   */
  kill(handle: ExecutionHandle): Promise<void>;
  /** Releases everything; also valid for a program that still runs. Idempotent; leaves nothing behind, ever. */
  cleanup(handle: ExecutionHandle): Promise<void>;
  /** Ends what the backend keeps for executions to come. No execution may run any more. Idempotent. */
  close(): Promise<void>;
}
