import { accessSync, constants } from 'node:fs';
import path from 'node:path';

import { GlasshouseError } from '../../base/errors.js';
import { type ObservationOptions, type ObservationSession, type Profiler } from '../profiler.js';
import { ObserverProcess, type ObserverSizes } from './observer-process.js';
import { ObserverSession } from './observer-session.js';

/** How long what happened may wait to be added up, where nobody watches it happen. */
const GATHER_MS = 1_000;

export interface EbpfProfilerOptions {
  /** Directory of the programs `observer` and `hold`. */
  readonly directory: string;
  readonly sizes: ObserverSizes;
}

/** Watches commands on this host through BPF programs that the observer loads: docs/observation.md. */
export class EbpfProfiler implements Profiler {
  readonly #options: EbpfProfilerOptions;

  constructor(options: EbpfProfilerOptions) {
    this.#options = options;
  }

  async open(options: ObservationOptions): Promise<ObservationSession> {
    const { directory, sizes } = this.#options;
    const hold = path.join(directory, 'hold');
    assertExecutable(hold);
    const gatherMs = options.listener === null ? GATHER_MS : 0;
    const process = await ObserverProcess.start(path.join(directory, 'observer'), sizes, gatherMs);
    return new ObserverSession(process, hold, options);
  }
}

function assertExecutable(program: string): void {
  try {
    accessSync(program, constants.X_OK);
  } catch (cause) {
    const message = `the observer's program ${program} is not there (npm run setup builds it)`;
    throw new GlasshouseError('observation_unavailable', message, { cause });
  }
}
