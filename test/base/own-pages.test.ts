import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { runOrThrow } from '../../src/base/child-process.js';
import { GlasshouseError } from '../../src/base/errors.js';
import { ownPages } from '../../src/base/own-pages.js';

describe('the pages of a process that are its own', () => {
  it('are whole pages, some of all that it has', async () => {
    const pages = await ownPages(process.pid);
    assert.ok(pages !== null && pages.size > 0);
    for (const page of pages) assert.equal(page % 4096, 0);
  });

  it('are not to be seen by another user', async (test) => {
    if (process.getuid?.() !== 0) {
      test.skip('needs root, to become another user');
      return;
    }
    const module = new URL('../../src/base/own-pages.js', import.meta.url).href;
    const script = `import(${JSON.stringify(module)}).then(async ({ ownPages }) => {
      process.setgid(65534);
      process.setuid(65534);
      console.log(await ownPages(${process.pid}));
    })`;
    const { stdout } = await runOrThrow(process.execPath, ['-e', script]);
    assert.equal(stdout.toString(), 'null\n');
  });

  it('cannot be told of a process that is not there', async () => {
    await assert.rejects(
      ownPages(2 ** 30),
      (error) => error instanceof GlasshouseError && error.code === 'vmm_failed',
    );
  });
});
