import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { GlasshouseError } from '../../src/base/errors.js';
import { ownPages } from '../../src/base/own-pages.js';

describe('the pages of a process that are its own', () => {
  it('are whole pages, some of all that it has', async () => {
    const pages = await ownPages(process.pid);
    assert.ok(pages.size > 0);
    for (const page of pages) assert.equal(page % 4096, 0);
  });

  it('cannot be told of a process that is not there', async () => {
    await assert.rejects(
      ownPages(2 ** 30),
      (error) => error instanceof GlasshouseError && error.code === 'vmm_failed',
    );
  });
});
