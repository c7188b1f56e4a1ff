import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { findBinaries } from './binaries.js';

describe('finding what to test in the lab', () => {
  let directory: string;
  let firecracker: string;
  let jailer: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'glasshouse-lab-binaries-'));
    mkdirSync(join(directory, 'path'));
    firecracker = join(directory, 'path', 'firecracker');
    jailer = join(directory, 'path', 'jailer');
    for (const program of [firecracker, jailer]) {
      writeFileSync(program, '');
      chmodSync(program, 0o755);
    }
  });

  after(() => {
    rmSync(directory, { recursive: true });
  });

  it('takes what the environment names before what is on PATH', async () => {
    const found = await findBinaries({
      GLASSHOUSE_FIRECRACKER_BIN: jailer,
      PATH: `:/nonexistent:${join(directory, 'path')}`,
    });
    assert.deepEqual(found, { kind: 'found', binaries: { firecracker: jailer, jailer } });
  });

  it('has nothing to test where neither names one, and says which', async () => {
    assert.deepEqual(await findBinaries({ PATH: '/nonexistent' }), {
      kind: 'none',
      reason: 'There is no firecracker: GLASSHOUSE_FIRECRACKER_BIN is not set, and PATH has none.',
    });
    assert.deepEqual(await findBinaries({ GLASSHOUSE_FIRECRACKER_BIN: firecracker }), {
      kind: 'none',
      reason: 'There is no jailer: GLASSHOUSE_JAILER_BIN is not set, and PATH has none.',
    });
  });

  it('takes a mistake for a mistake, not for nothing to test', async () => {
    const plain = join(directory, 'plain');
    writeFileSync(plain, '', { mode: 0o644 });
    for (const wrong of [join(directory, 'missing'), join(plain, 'below'), plain, directory]) {
      assert.deepEqual(await findBinaries({ GLASSHOUSE_JAILER_BIN: wrong }), {
        kind: 'wrong',
        reason: `GLASSHOUSE_JAILER_BIN names ${wrong}, which is no program that can be run.`,
      });
    }
  });
});
