import { killChild } from '../../base/child-process.js';
import { GlasshouseError, asGlasshouseError } from '../../base/errors.js';
import {
  type BackendDescription,
  type BackendGauge,
  type ExecutionBackend,
  type ExecutionHandle,
  type ExecutionResult,
  type ExecutionSpec,
  type Footprint,
  type Limits,
  type ProbeReport,
} from '../backend.js';
import { findCommand } from './command-lookup.js';
import { closePipes, launch, makePipesFor } from './launch.js';
import { RunningProgram } from './running-program.js';

/**
 * Runs commands as ordinary processes of this machine, without any isolation: current directory, files, network and
 * user are the caller's. The execution ends when its first process exits; what that leaves behind is killed.
 */
export class ProcessBackend implements ExecutionBackend {
  readonly name = 'process';

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  describe(): BackendDescription {
    return {
      name: this.name,
      isolation: 'none',
      vmmVersion: null,
      enforcesLimits: false,
      imageDigests: null,
      snapshot: null,
      notes: ['limits on memory, processors, processes and disk are not enforced'],
    };
  }

  footprint(_limits: Limits): Footprint {
    return { memoryMb: 0, cpus: 0 };
  }

  gauges(): readonly BackendGauge[] {
    return [];
  }

  probe(): Promise<ProbeReport> {
    return Promise.resolve({
      backend: this.name,
      isolates: false,
      findings: [],
      verdict: 'works',
      detail: 'commands run directly on this machine, with your rights and without any isolation',
      advice: null,
    });
  }

  async start(spec: ExecutionSpec, signal: AbortSignal): Promise<ExecutionHandle> {
    const argv = commandOf(spec);
    const clock = stageClock();
    const file = findCommand(argv[0], spec.environment['PATH']);
    const lookup = clock();
    const made = await makePipesFor(spec);
    const pipes = clock();
    if (signal.aborted) {
      closePipes(made);
      throw new GlasshouseError('canceled', 'Canceled before the program was started', {
        cause: signal.reason,
      });
    }
    const program = await launch(spec, file, argv, made, signal);
    try {
      return new RunningProgram(program, spec, { lookup, pipes, spawn: clock() });
    } catch (error) {
      killChild(program.child);
      throw asGlasshouseError(error);
    }
  }

  async wait(handle: ExecutionHandle): Promise<ExecutionResult> {
    return own(handle).result;
  }

  signal(handle: ExecutionHandle, signal: NodeJS.Signals): Promise<void> {
    return Promise.resolve().then(() => {
      own(handle).signal(signal);
    });
  }

  async kill(handle: ExecutionHandle): Promise<void> {
    return own(handle).kill();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async cleanup(handle: ExecutionHandle): Promise<void> {
    return own(handle).release();
  }
}

function commandOf(spec: ExecutionSpec): readonly [string, ...string[]] {
  if (spec.program.kind !== 'command') throw unsupported('Python programs', 'code');
  if (spec.inputFiles.length > 0) throw unsupported('input files', 'files');
  return spec.program.argv;
}

function unsupported(what: string, field: string): GlasshouseError {
  return new GlasshouseError(
    'unsupported_by_backend',
    `The process backend does not take ${what}: it runs a command where you are; choose a backend with isolation`,
    { field },
  );
}

function own(handle: ExecutionHandle): RunningProgram {
  if (handle instanceof RunningProgram) return handle;
  throw new GlasshouseError('internal', 'This handle was not made by the process backend');
}

/** Each call gives the milliseconds since the call before. */
function stageClock(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const stage = now - last;
    last = now;
    return stage;
  };
}
