import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';

import { makeDirectory } from '../../src/base/directory.js';

describe('makeDirectory', () => {
  let base = '';
  before(() => {
    base = mkdtempSync(path.join(tmpdir(), 'glasshouse-directory-'));
  });
  after(() => {
    rmSync(base, { recursive: true });
  });

  it('makes what is missing, with the mode that was asked for', () => {
    makeDirectory(path.join(base, 'a/b/c'), 0o700);
    for (const name of ['a', 'a/b', 'a/b/c'])
      assert.equal(statSync(path.join(base, name)).mode & 0o777, 0o700);
  });

  it('leaves what exists as it is', () => {
    makeDirectory(path.join(base, 'a'), 0o755);
    assert.equal(statSync(path.join(base, 'a')).mode & 0o777, 0o700);
  });

  it('does not take a file for a directory', () => {
    writeFileSync(path.join(base, 'file'), '');
    assert.throws(
      () => {
        makeDirectory(path.join(base, 'file'), 0o700);
      },
      { code: 'EEXIST' },
    );
    assert.throws(
      () => {
        makeDirectory(path.join(base, 'file/below'), 0o700);
      },
      { code: 'ENOTDIR' },
    );
  });

  it('ends where the kernel makes no directories', () => {
    assert.throws(
      () => {
        makeDirectory('/proc/glasshouse/keys', 0o700);
      },
      { code: 'ENOENT' },
    );
  });
});
