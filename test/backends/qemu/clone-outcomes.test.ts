import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import { makeQemuBackend, type Ran, reasonToSkip, runOn, ScratchDirectory } from '../../contract/subject.js';
import { CORPUS, type CorpusProgram, specOf } from './clone-corpus.js';
import { untilPoolHas } from './clones.js';

const scratch = new ScratchDirectory();
const backend = makeQemuBackend(scratch, { poolSize: 2 });
const skip = await reasonToSkip(backend);

after(async () => {
  await backend.close();
  scratch[Symbol.dispose]();
});

function run(program: CorpusProgram, fresh: boolean): Promise<Ran> {
  return runOn(backend, ['true'], { ...specOf(program), fresh });
}

/** Everything that a caller gets to see. */
function outcomeOf({ result, stdout, stderr }: Ran): unknown {
  return {
    termination: result.termination,
    stdout: stdout.toString('latin1').split('\n'),
    stderr: stderr.toString('latin1').split('\n'),
    filesComplete: result.outputFilesComplete,
    files: result.outputFiles
      .map(({ path, mode, sizeBytes, sha256, omitted }) => [
        Buffer.from(path).toString(),
        mode,
        sizeBytes,
        sha256,
        omitted,
      ])
      .sort(),
  };
}

describe(
  'a clone gives the same outcome as a guest that booted',
  { skip: skip ?? false, concurrency: 2 },
  () => {
    for (const program of CORPUS) {
      it(`for ${program.title}`, async () => {
        const cold = await run(program, true);
        await untilPoolHas(backend, 1);
        const warm = await run(program, false);
        assert.deepEqual([cold.handle.origin.start, warm.handle.origin.start === 'cold'], ['cold', false]);
        assert.deepEqual(outcomeOf(warm), outcomeOf(cold));
      });
    }
  },
);
