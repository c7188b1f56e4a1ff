import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BackendStatus } from '../../src/server/dependencies.js';
import { COMPLETED, startServer } from './running-server.js';

const READY: BackendStatus = {
  ready: true,
  detail: null,
  description: {
    name: 'qemu',
    isolation: 'vm-tcg',
    vmmVersion: 'QEMU 7.2.22',
    enforcesLimits: true,
    imageDigests: { kernel: 'ab'.repeat(32) },
    snapshot: null,
    notes: ['emulated'],
  },
};

describe('GET /health', () => {
  it('says where programs run', async () => {
    await using running = await startServer({ backendStatus: () => READY });
    const response = await fetch(`${running.url}/health`);
    const { uptime_s: uptime, ...health } = (await response.json()) as Record<string, unknown>;
    assert.equal(response.status, 200);
    assert.ok(Number.isInteger(uptime));
    assert.deepEqual(health, {
      status: 'ok',
      detail: null,
      version: '1.2.3',
      backend: {
        name: 'qemu',
        isolation: 'vm-tcg',
        vmm_version: 'QEMU 7.2.22',
        image: { kernel: 'ab'.repeat(32) },
        snapshot: null,
        notes: ['emulated'],
      },
      in_flight: 0,
    });
  });

  it('is 503 while the backend is not ready, with the reason', async () => {
    const backendStatus = (): BackendStatus => ({ ready: false, detail: 'No image yet.', description: null });
    await using running = await startServer({ backendStatus });
    const response = await fetch(`${running.url}/health`);
    const { status, detail, backend } = (await response.json()) as Record<string, unknown>;
    assert.equal(response.status, 503);
    assert.deepEqual([status, detail, backend], ['unavailable', 'No image yet.', null]);
  });

  it('counts the runs that somebody waits for', async () => {
    await using running = await startServer();
    const inFlight = async (): Promise<unknown> =>
      ((await (await fetch(`${running.url}/health`)).json()) as { in_flight: unknown }).in_flight;
    let during: unknown;
    running.engine.behaviour = async () => {
      during = await inFlight();
      return COMPLETED;
    };
    await (await running.post({ code: 'pass' })).arrayBuffer();
    assert.deepEqual([during, await inFlight()], [1, 0]);
  });
});
