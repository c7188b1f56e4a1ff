import { type ExecutionBackend, type ExecutionSpec, type ProbeReport } from '../backends/backend.js';
import { asGlasshouseError, GlasshouseError } from '../base/errors.js';
import { uuidv7 } from '../base/uuid.js';
import { type Observed, type Profiler, type Unobserved } from '../profilers/profiler.js';
import { Observation } from './observation.js';

const ABOUT = { backend: 'observation', isolates: false, findings: [] } as const;

/** What the trial runs: it is on every Linux, and executes nothing else. */
const PROGRAM = '/bin/true';

/** Observes a real command and looks whether its execution was seen. Never throws for what a machine lacks. */
export async function tryObservation(
  profiler: Profiler,
  backend: ExecutionBackend,
  signal: AbortSignal,
): Promise<ProbeReport> {
  const begunAt = performance.now();
  try {
    const observed = await observeOnce(profiler, backend, signal);
    const milliseconds = Math.round(performance.now() - begunAt);
    const hooks = observed.observation.hooks.join(', ');
    const detail = `the execution of ${PROGRAM} was seen, in ${milliseconds} ms with starting and ending, through ${hooks}`;
    return { ...ABOUT, verdict: 'works', detail, advice: null };
  } catch (error) {
    const { code, message } = asGlasshouseError(error);
    if (code !== 'observation_unavailable') throw error;
    const advice = 'run it as root on a kernel from 5.8 on; without it, commands run unobserved';
    return { ...ABOUT, verdict: 'cannot', detail: message, advice };
  }
}

async function observeOnce(
  profiler: Profiler,
  backend: ExecutionBackend,
  signal: AbortSignal,
): Promise<Observed> {
  const plan = { profiler, required: true, listener: null, onUnavailable: () => undefined };
  await using observation = await Observation.open(plan, backend.describe());
  if (observation.refusal !== null) throw observation.refusal;
  const handle = await backend.start(trialSpec(observation), signal);
  try {
    await backend.wait(handle);
    return assertSeen(await observation.finish());
  } finally {
    await backend.cleanup(handle);
  }
}

function assertSeen(observed: Observed | Unobserved): Observed {
  if ('processTree' in observed && observed.processTree.some(({ images }) => images.length > 0))
    return observed;
  const reason = observed.observation.reason ?? `the execution of ${PROGRAM} was not seen`;
  throw new GlasshouseError('observation_unavailable', reason);
}

function trialSpec(observation: Observation): ExecutionSpec {
  return {
    executionId: uuidv7(),
    program: { kind: 'command', argv: [PROGRAM] },
    environment: {},
    inputFiles: [],
    stdin: 'closed',
    stdout: 'capture',
    stderr: 'capture',
    sink: { write: () => Promise.resolve() },
    limits: { memoryMb: 16, cpus: 1, diskMb: 1, pids: 1, outputBytes: 1 },
    hold: observation.hold,
    fresh: false,
  };
}
