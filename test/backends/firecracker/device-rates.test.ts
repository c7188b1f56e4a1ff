import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type TokenBucket } from '../../../src/backends/firecracker/api-actions.js';
import { deviceRates } from '../../../src/backends/firecracker/device-rates.js';

const MIB = 1024 * 1024;
const SHAPE = { accelerator: 'kvm', memoryMb: 224, cpus: 1, diskMb: 64 } as const;

const perSecond = ({ size, refill_time }: TokenBucket): number => (size * 1000) / refill_time;

describe('what a machine may ask of its devices', () => {
  it('is the whole workspace each second, and of the root image what fits into its memory', () => {
    const { root, workspace } = deviceRates(SHAPE);
    assert.equal(perSecond(workspace.bandwidth), 64 * MIB);
    assert.equal(perSecond(root.bandwidth), 224 * MIB);
  });

  it('lets a program fill its workspace and read it back without waiting', () => {
    assert.equal(deviceRates(SHAPE).workspace.bandwidth.size, 2 * 64 * MIB);
  });

  it('grows with its limits, each with its own', () => {
    const before = deviceRates(SHAPE);
    const roomier = deviceRates({ ...SHAPE, diskMb: 128 });
    assert.equal(roomier.workspace.bandwidth.size, 2 * before.workspace.bandwidth.size);
    assert.deepEqual([roomier.root, roomier.entropy], [before.root, before.entropy]);
    const faster = deviceRates({ ...SHAPE, cpus: 2 });
    assert.equal(faster.entropy.size, 2 * before.entropy.size);
    for (const drive of ['root', 'workspace'] as const)
      assert.equal(faster[drive].ops.size, 2 * before[drive].ops.size);
    const larger = deviceRates({ ...SHAPE, memoryMb: 448 });
    assert.equal(larger.root.bandwidth.size, 2 * before.root.bandwidth.size);
    assert.deepEqual(larger.workspace, before.workspace);
  });
});
