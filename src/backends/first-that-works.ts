import { asGlasshouseError, GlasshouseError } from '../base/errors.js';
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
} from './backend.js';

/** A backend that was chosen, and why those before it were not. */
interface Choice {
  readonly backend: ExecutionBackend;
  readonly notes: readonly string[];
}

/** Several backends, best first: the first one that can be prepared is the one from then on. */
export class FirstThatWorks implements ExecutionBackend {
  readonly #candidates: readonly [ExecutionBackend, ...ExecutionBackend[]];
  #choice: Choice | null = null;
  #choosing: Promise<Choice> | null = null;

  constructor(candidates: readonly [ExecutionBackend, ...ExecutionBackend[]]) {
    this.#candidates = candidates;
  }

  get name(): string {
    return this.#choice?.backend.name ?? 'auto';
  }

  async prepare(signal: AbortSignal): Promise<void> {
    while (this.#choice === null) {
      this.#choosing ??= this.#choose(signal).finally(() => {
        this.#choosing = null;
      });
      try {
        this.#choice = await this.#choosing;
      } catch (error) {
        // Who shares a choice with a caller that went away begins anew.
        if (asGlasshouseError(error).code !== 'canceled' || signal.aborted) throw error;
      }
    }
    await this.#choice.backend.prepare(signal);
  }

  describe(): BackendDescription {
    const { backend, notes } = this.#chosen();
    const description = backend.describe();
    return { ...description, notes: [...notes, ...description.notes] };
  }

  /** Before there is a choice: of the one that takes most. */
  footprint(limits: Limits): Footprint {
    if (this.#choice !== null) return this.#choice.backend.footprint(limits);
    const footprints = this.#candidates.map((candidate) => candidate.footprint(limits));
    return {
      memoryMb: Math.max(...footprints.map(({ memoryMb }) => memoryMb)),
      cpus: Math.max(...footprints.map(({ cpus }) => cpus)),
    };
  }

  gauges(): readonly BackendGauge[] {
    return this.#choice?.backend.gauges() ?? [];
  }

  async probe(signal: AbortSignal): Promise<ProbeReport> {
    let report = await this.#candidates[0].probe(signal);
    for (const candidate of this.#candidates.slice(1)) {
      if (report.verdict !== 'cannot') break;
      report = await candidate.probe(signal);
    }
    return report;
  }

  start(spec: ExecutionSpec, signal: AbortSignal): Promise<ExecutionHandle> {
    return this.#chosen().backend.start(spec, signal);
  }

  wait(handle: ExecutionHandle): Promise<ExecutionResult> {
    return this.#chosen().backend.wait(handle);
  }

  signal(handle: ExecutionHandle, signal: NodeJS.Signals): Promise<void> {
    return this.#chosen().backend.signal(handle, signal);
  }

  kill(handle: ExecutionHandle): Promise<void> {
    return this.#chosen().backend.kill(handle);
  }

  cleanup(handle: ExecutionHandle): Promise<void> {
    return this.#chosen().backend.cleanup(handle);
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#choosing]);
    for (const candidate of this.#candidates) await candidate.close();
  }

  /** Throws what the last one throws, with what the others lacked. */
  async #choose(signal: AbortSignal): Promise<Choice> {
    const notes: string[] = [];
    let last: GlasshouseError | null = null;
    for (const backend of this.#candidates) {
      try {
        await backend.prepare(signal);
        return { backend, notes };
      } catch (error) {
        last = asGlasshouseError(error);
        if (last.code === 'canceled') throw last;
        notes.push(`${backend.name} was not chosen: ${last.message}`);
      }
    }
    throw new GlasshouseError(last?.code ?? 'backend_unavailable', notes.join(' '), { cause: last });
  }

  #chosen(): Choice {
    if (this.#choice === null) throw new GlasshouseError('internal', 'prepare() comes first.');
    return this.#choice;
  }
}
