import assert from 'node:assert/strict';
import { isAbsolute } from 'node:path';
import { describe, it } from 'node:test';

import { type Action } from '../../../src/backends/firecracker/api-actions.js';
import { deviceRates } from '../../../src/backends/firecracker/device-rates.js';
import {
  bootActions,
  cloneAction,
  FILES,
  reportActions,
} from '../../../src/backends/firecracker/machine-setup.js';
import { type ProgramVersion } from '../../../src/backends/firecracker/versions.js';

const SHAPE = { accelerator: 'kvm', memoryMb: 224, cpus: 2, diskMb: 64 } as const;
const actions = [...bootActions(SHAPE)];

function bodyOf(path: string, of: readonly Action[] = actions): Readonly<Record<string, unknown>> {
  const action = of.find((one) => one.path === path);
  assert.ok(action !== undefined, path);
  return { ...action.body };
}

const version = (minor: number): ProgramVersion => ({ major: 1, minor, patch: 0, text: `1.${minor}.0` });

describe('a machine that boots', () => {
  it('has what it needs and no network card, no balloon, no metadata and no other disk', () => {
    assert.deepEqual(
      actions.map(({ method, path }) => `${method} ${path}`),
      [
        ...['PUT /machine-config', 'PUT /boot-source', 'PUT /drives/root', 'PUT /drives/workspace'],
        ...['PUT /vsock', 'PUT /entropy', 'PUT /actions'],
      ],
    );
  });

  it('is as large as it was asked for, and its processors share no core', () => {
    const { vcpu_count, mem_size_mib, smt } = bodyOf('/machine-config');
    assert.deepEqual([vcpu_count, mem_size_mib, smt], [2, 224, false]);
  });

  it('reads its root and writes its workspace, each at the rate that follows from its limits', () => {
    const { root, workspace, entropy } = deviceRates(SHAPE);
    for (const [name, isReadOnly, rates] of [
      ['root', true, root],
      ['workspace', false, workspace],
    ] as const) {
      const { is_read_only, rate_limiter } = bodyOf(`/drives/${name}`);
      assert.deepEqual([is_read_only, rate_limiter], [isReadOnly, rates]);
    }
    assert.deepEqual(bodyOf('/entropy'), { rate_limiter: { bandwidth: entropy } });
  });

  it('finds all files by names in the directory that it runs in', () => {
    const paths = [...reportActions(), ...actions, cloneAction(version(16))].flatMap(({ body }) =>
      Object.entries(body).flatMap(([name, value]: [string, unknown]) =>
        name.includes('path') && typeof value === 'string' ? [value] : [],
      ),
    );
    assert.ok(paths.length >= 8);
    for (const path of paths) assert.ok(!isAbsolute(path) && !path.includes('/'), path);
  });
});

describe('a machine that goes on from a snapshot', () => {
  it('runs at once, in a copy of its memory, with the time of the host to be told to it', () => {
    const body = bodyOf('/snapshot/load', [cloneAction(version(14))]);
    assert.deepEqual(body, {
      snapshot_path: FILES.state,
      mem_backend: { backend_type: 'File', backend_path: FILES.memory },
      resume_vm: true,
    });
  });

  it('is told where its vsock is, by a version that can be', () => {
    for (const [minor, override] of [
      [14, undefined],
      [15, undefined],
      [16, { uds_path: FILES.vsock }],
    ] as const)
      assert.deepEqual(bodyOf('/snapshot/load', [cloneAction(version(minor))])['vsock_override'], override);
  });
});
