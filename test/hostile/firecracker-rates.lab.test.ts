import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import { type VmBackend } from '../../src/backends/vm/vm-backend.js';
import { runPython, untilPoolHas } from '../backends/qemu/clones.js';
import {
  LIMITS,
  makeFirecrackerBackend,
  never,
  reasonToSkip,
  ScratchDirectory,
} from '../contract/subject.js';

const scratch = new ScratchDirectory();
const skip = await reasonToSkip(makeFirecrackerBackend(scratch));

after(() => {
  scratch[Symbol.dispose]();
});

/** The smallest there is, so that a slow machine writes faster than it may: 1 MiB a second, after 2 MiB. */
const limits = { ...LIMITS, diskMb: 1 };
const CHUNK_BYTES = 262_144;

/** Writes the same part of a file over and over; each time it reaches the drive before the next begins. */
function writing(times: number): string {
  return [
    'import os',
    "file = os.open('data', os.O_RDWR | os.O_CREAT)",
    `for turn in range(${times}):`,
    `    os.pwrite(file, bytes([turn + 1]) * ${CHUNK_BYTES}, 0)`,
    '    os.fsync(file)',
    `print(os.pread(file, ${CHUNK_BYTES}, 0) == bytes([${times}]) * ${CHUNK_BYTES})`,
  ].join('\n');
}

function gauge(backend: VmBackend, name: string): number {
  const found = backend.gauges().find((one) => one.name === name);
  assert.ok(found !== undefined, name);
  return found.value;
}

const throttled = (backend: VmBackend): number => gauge(backend, 'firecracker_disk_throttled');

/** What was counted is here when the machine is gone. */
async function eventsOf(backend: VmBackend, times: number, start: string): Promise<number> {
  const before = throttled(backend);
  const { handle, stdout } = await runPython(backend, writing(times), { limits, fresh: start === 'cold' });
  assert.deepEqual([handle.origin.start, stdout.toString()], [start, 'True\n']);
  return throttled(backend) - before;
}

describe('a program that writes to its workspace without end', { skip: skip ?? false }, () => {
  it('is held back, loses nothing, and is counted; one that fills it once is not', async () => {
    const backend = makeFirecrackerBackend(scratch, { poolSize: 1, defaultLimits: limits });
    await backend.prepare(never);
    for (const start of ['cold', 'pooled']) {
      await untilPoolHas(backend, 1);
      assert.ok((await eventsOf(backend, 64, start)) > 0, start);
      await untilPoolHas(backend, 1);
      assert.equal(await eventsOf(backend, 2, start), 0, start);
    }
    assert.equal(gauge(backend, 'firecracker_metrics_unheard'), 0);
    assert.equal(gauge(backend, 'firecracker_seccomp_faults'), 0);
    await backend.close();
  });
});
