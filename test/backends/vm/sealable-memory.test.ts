import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { after, describe, it } from 'node:test';

import { SealableMemory } from '../../../src/backends/vm/sealable-memory.js';
import { hostHelper } from '../../../src/base/host-helper.js';
import { runToCompletion } from '../../../src/base/child-process.js';
import { childProcesses, openDescriptors, ScratchDirectory } from '../../contract/subject.js';

const SIZE = 1024 * 1024;
const helper = hostHelper('sealed-memory');
const skip = existsSync(helper) ? false : 'host/sealed-memory is not built';
const scratch = new ScratchDirectory();

after(() => {
  scratch[Symbol.dispose]();
});

describe('sealable memory', { skip }, () => {
  it('can be written until it is sealed, and read for ever', async () => {
    await using memory = await SealableMemory.create(helper, SIZE);
    await memory.file.write(Buffer.from('before'), 0, 6, 4096);
    await memory.seal();
    await assert.rejects(memory.file.write(Buffer.from('after'), 0, 5, 4096), { code: 'EPERM' });
    const { buffer } = await memory.file.read(Buffer.alloc(6), 0, 6, 4096);
    assert.equal(buffer.toString(), 'before');
    assert.equal((await memory.file.stat()).size, SIZE);
  });

  it('keeps its size once it is sealed', async () => {
    await using memory = await SealableMemory.create(helper, SIZE);
    await memory.seal();
    await assert.rejects(memory.file.truncate(SIZE + 4096), { code: 'EPERM' });
    await assert.rejects(memory.file.truncate(SIZE - 4096), { code: 'EPERM' });
  });

  it('is no less sealed for one who opens it anew', async () => {
    await using memory = await SealableMemory.create(helper, SIZE);
    await memory.seal();
    await using other = await open(`/proc/self/fd/${memory.file.fd}`, 'r+');
    await assert.rejects(other.write(Buffer.from('x'), 0, 1, 0), { code: 'EPERM' });
    await assert.rejects(other.truncate(0), { code: 'EPERM' });
  });

  it('leaves neither process nor descriptor, sealed or not', async () => {
    const before = openDescriptors();
    for (const sealed of [true, false]) {
      const memory = await SealableMemory.create(helper, SIZE);
      if (sealed) await memory.seal();
      await memory[Symbol.asyncDispose]();
    }
    assert.deepEqual(childProcesses(), []);
    assert.deepEqual(openDescriptors(), before);
  });

  it('has no name, and is as large as it was asked for', async () => {
    await using memory = await SealableMemory.create(helper, SIZE);
    const { nlink, size } = await memory.file.stat();
    assert.deepEqual([nlink, size, memory.sizeBytes], [0, SIZE, SIZE]);
  });

  it('cannot be made without its helper', async () => {
    await assert.rejects(SealableMemory.create(`${scratch.path}/missing`, SIZE), { code: 'tool_missing' });
  });

  it('cannot be made by something that does not answer as its helper does', async () => {
    await assert.rejects(SealableMemory.create('/bin/true', SIZE), { code: 'tool_failed' });
    await assert.rejects(SealableMemory.create('/bin/echo', SIZE), { code: 'tool_failed' });
  });

  for (const size of ['', '0', '-1', '1x', '99999999999999999999', 'x']) {
    it(`refuses a size of ${JSON.stringify(size)}`, async () => {
      const { exitCode, stdout } = await runToCompletion(helper, [size]);
      assert.notEqual(exitCode, 0);
      assert.equal(stdout.length, 0);
    });
  }
});
