import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { formatSnapshotManifest, parseSnapshotManifest } from '../../../src/backends/vm/snapshot-manifest.js';
import { type VmBackend } from '../../../src/backends/vm/vm-backend.js';
import {
  childProcesses,
  makeQemuBackend,
  never,
  reasonToSkip,
  ScratchDirectory,
  sha256,
} from '../../contract/subject.js';
import { Laboratory, textOf } from '../../hostile/laboratory.js';
import { runPython, untilPoolHas } from './clones.js';

const scratch = new ScratchDirectory();
const snapshotDirectory = scratch.make('snapshots');
const skip = await reasonToSkip(makeQemuBackend(scratch));

/** A new backend over the stored snapshots, as after a restart. */
async function restart(poolSize = 0): Promise<VmBackend> {
  const backend = makeQemuBackend(scratch, { poolSize, snapshotDirectory });
  await backend.prepare(never);
  return backend;
}

async function expectClone(backend: VmBackend): Promise<string> {
  const { handle, stdout } = await runPython(backend, 'print(2+2)');
  await backend.close();
  assert.deepEqual([handle.origin.start, stdout.toString()], ['restored', '4\n']);
  return handle.origin.snapshot?.sha256 ?? '';
}

function part(name: string): string {
  const [key = ''] = readdirSync(snapshotDirectory);
  return join(snapshotDirectory, key, name);
}

after(() => {
  scratch[Symbol.dispose]();
});

describe('a snapshot on disk', { skip: skip ?? false }, () => {
  let digest = '';

  before(async () => {
    digest = await expectClone(await restart());
  });

  it('serves the next process as well', async () => {
    assert.equal(await expectClone(await restart()), digest);
    assert.equal(sha256(await readFile(part('snapshot.json'))), digest);
  });

  it('is named in the receipt of a run that it was used for, with its age', async () => {
    const backend = await restart();
    using laboratory = new Laboratory(scratch, backend);
    const ran = await laboratory.python('print(2+2)');
    assert.equal(textOf(ran), '4\n');
    const { execution } = await laboratory.verified(ran.receiptId);
    assert.deepEqual([execution.start, execution.snapshot?.sha256], ['restored', digest]);
    const { created } = parseSnapshotManifest(await readFile(part('snapshot.json'), 'utf8'));
    const age = Date.now() - Date.parse(created);
    assert.ok((execution.snapshot?.age_ms ?? -1) >= 0 && (execution.snapshot?.age_ms ?? 0) <= age);
    const fresh = await laboratory.python('print(2+2)', { fresh: true });
    const { execution: booted } = await laboratory.verified(fresh.receiptId);
    assert.deepEqual([booted.start, booted.snapshot], ['cold', null]);
    await backend.close();
  });

  for (const [damage, harm] of [
    ['memory is cut off', () => truncate(part('memory'), 1 << 20)],
    ['state is missing', () => rm(part('state'))],
    ['manifest is garbage', () => writeFile(part('snapshot.json'), 'garbage')],
  ] as const) {
    it(`is made anew when its ${damage}, and the run succeeds`, async () => {
      const old = sha256(await readFile(part('snapshot.json')));
      await harm();
      const made = await expectClone(await restart());
      assert.notEqual(made, old);
      assert.equal(await expectClone(await restart()), made);
    });
  }

  it('that no clone can go on from costs a boot and no failure, and is made anew', async () => {
    const state = await readFile(part('state'));
    const garbage = Buffer.from(state.map((byte, index) => (index < 64 ? byte : byte ^ 0x5a)));
    await writeFile(part('state'), garbage);
    const manifest = parseSnapshotManifest(await readFile(part('snapshot.json'), 'utf8'));
    const stateDigest = createHash('sha256').update(Buffer.alloc(8)).update(garbage).digest('hex');
    const forged = formatSnapshotManifest({
      ...manifest,
      digests: { ...manifest.digests, state: stateDigest },
    });
    await writeFile(part('snapshot.json'), forged);
    const backend = await restart(1);
    const { handle, stdout } = await runPython(backend, 'print(2+2)');
    assert.deepEqual([handle.origin.start, stdout.toString()], ['cold', '4\n']);
    assert.ok((handle.bootStages['failed_clone'] ?? 0) > 0, 'and the receipt says what it has cost');
    await untilPoolHas(backend, 1);
    const next = await runPython(backend, 'print(2+2)');
    assert.equal(next.handle.origin.start, 'pooled');
    assert.notEqual(next.handle.origin.snapshot.sha256, sha256(Buffer.from(forged)));
    await backend.close();
    assert.deepEqual(childProcesses(), []);
  });
});
