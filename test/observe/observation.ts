import { ProcessBackend } from '../../src/backends/process/process-backend.js';
import { tryObservation } from '../../src/engine/observation-trial.js';
import { EbpfProfiler } from '../../src/profilers/ebpf/ebpf-profiler.js';
import { never } from '../contract/subject.js';
import { BUILT_DIRECTORY } from '../profilers/built.js';

/** The sizes that are the defaults. */
export const SIZES = { ringBytes: 8_388_608, fileRecords: 65_536, peerRecords: 16_384, argvBytes: 131_072 };

const profiler = new EbpfProfiler({ directory: BUILT_DIRECTORY, sizes: SIZES });
const { verdict, detail } = await tryObservation(profiler, new ProcessBackend(), never);

/** Why nothing can be observed here, as `glasshouse doctor` says it; false when it can. */
export const withoutObservation: string | false = verdict === 'cannot' ? detail : false;
