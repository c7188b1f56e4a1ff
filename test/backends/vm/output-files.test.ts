import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import fc from 'fast-check';

import { OutputFiles } from '../../../src/backends/vm/output-files.js';
import { openDescriptors, ScratchDirectory, sha256 } from '../../contract/subject.js';

const scratch = new ScratchDirectory();
const directory = scratch.make('spool');

after(() => {
  scratch[Symbol.dispose]();
});

function header(
  path: string,
  sizeBytes: number,
  kind: 'file' | 'too_large' | 'symlink' | 'other' | 'unreadable',
): Parameters<OutputFiles['begin']>[0] {
  return { type: 'output_file', kind, mode: 0o644, sizeBytes, path: Buffer.from(path) };
}

describe('output files', () => {
  it('give back every file as it came, whatever pieces it came in', async () => {
    const content = fc.array(fc.uint8Array({ minLength: 1, maxLength: 5000 }), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fc.array(content, { maxLength: 6 }), async (files) => {
        await using output = new OutputFiles(directory);
        for (const [index, chunks] of files.entries()) {
          const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
          output.begin(header(`f${index}`, size, 'file'));
          for (const chunk of chunks) await output.append(Buffer.from(chunk));
        }
        assert.equal(output.files.length, files.length);
        for (const [index, chunks] of files.entries()) {
          const file = output.files[index];
          const whole = Buffer.concat(chunks);
          assert.deepEqual(Buffer.concat([...(file?.read() ?? [])]), whole);
          assert.equal(file?.sha256, sha256(whole));
        }
      }),
      { numRuns: 50 },
    );
  });

  it('say why a file has no bytes', async () => {
    await using output = new OutputFiles(directory);
    for (const kind of ['too_large', 'symlink', 'other', 'unreadable'] as const)
      output.begin(header(kind, 9, kind));
    assert.deepEqual(
      output.files.map((file) => [file.omitted, file.sha256, [...file.read()]]),
      [
        ['too_large', null, []],
        ['not_a_regular_file', null, []],
        ['not_a_regular_file', null, []],
        ['unreadable', null, []],
      ],
    );
  });

  it('do not list a file of which a part is missing', async () => {
    await using output = new OutputFiles(directory);
    output.begin(header('half', 10, 'file'));
    await output.append(Buffer.alloc(5));
    assert.deepEqual(output.files, []);
  });

  it('can no longer be read after dispose, and hold no descriptor', async () => {
    const before = openDescriptors();
    const output = new OutputFiles(directory);
    output.begin(header('x', 1, 'file'));
    await output.append(Buffer.from('x'));
    const [file] = output.files;
    await output[Symbol.asyncDispose]();
    await output[Symbol.asyncDispose]();
    assert.throws(() => [...(file?.read() ?? [])], /after cleanup/);
    assert.deepEqual(openDescriptors(), before);
  });
});
