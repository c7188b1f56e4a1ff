import assert from 'node:assert/strict';
import os from 'node:os';
import { describe, it } from 'node:test';

import { availableMemoryMb } from '../../src/base/available-memory.js';
import { withoutDescriptors } from './without-descriptors.js';

describe('the memory that is available', () => {
  it('is more than nothing, and less than all', () => {
    const available = availableMemoryMb();
    assert.ok(available > 0 && available < os.totalmem() / 1024 / 1024);
  });

  it('is nothing where no descriptor is left to look with, which ends nothing', async () => {
    await withoutDescriptors(() => {
      assert.equal(availableMemoryMb(), 0);
    });
  });
});
