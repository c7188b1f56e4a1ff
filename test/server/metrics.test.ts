import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { GlasshouseError } from '../../src/base/errors.js';
import { REPOSITORY } from '../source-imports.js';
import { COMPLETED, IDLE, type RunningServer, startServer } from './running-server.js';

let running: RunningServer;
before(async () => {
  running = await startServer();
});
after(() => running[Symbol.asyncDispose]());

async function metrics(server = running): Promise<string> {
  const response = await fetch(`${server.url}/metrics`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  return response.text();
}

/** Value by name and labels, as they are written. */
async function samples(server = running): Promise<ReadonlyMap<string, number>> {
  const lines = (await metrics(server)).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
}

describe('GET /metrics', () => {
  it('shows what runs and waits, and what there is for it', async () => {
    running.engine.load = { ...IDLE, running: 2, queued: 5, waitingClients: 3, memoryMb: 448, cpus: 2 };
    const seen = await samples();
    for (const [name, value] of [
      ['queue_length', 5],
      ['queue_limit', 64],
      ['queue_clients', 3],
      ['executions_in_flight', 2],
      ['executions_limit', 4],
      ['memory_in_use_bytes', 448 * 1024 * 1024],
      ['memory_limit_bytes', 6144 * 1024 * 1024],
      ['cpus_in_use', 2],
      ['cpus_limit', 4],
    ] as const)
      assert.equal(seen.get(`glasshouse_${name}`), value, name);
  });

  it('counts executions by how they ended, and times each stage', async () => {
    await using counting = await startServer();
    const timings = {
      queueMs: 3,
      bootMs: 40,
      runMs: 700,
      collectMs: 5,
      receiptMs: 2,
      bootStages: { kernel: 30, vmm: 10 },
    };
    const error = { code: 'guest_lost', message: 'It ended.' } as const;
    counting.engine.behaviour = () => Promise.resolve({ ...COMPLETED, timings, durationMs: 750 });
    await (await counting.post({ code: 'pass' })).arrayBuffer();
    counting.engine.behaviour = () => Promise.resolve({ ...COMPLETED, status: 'infra_error', error });
    await (await counting.post({ code: 'pass' })).arrayBuffer();
    const seen = await samples(counting);
    const count = (name: string): number | undefined => seen.get(`glasshouse_${name}`);
    assert.equal(count('executions_total{status="ok",backend="unknown"}'), 1);
    assert.equal(count('executions_total{status="infra_error",backend="unknown"}'), 1);
    assert.equal(count('execution_errors_total{code="guest_lost"}'), 1);
    assert.equal(count('stage_duration_seconds_bucket{le="0.5",stage="run"}'), 1);
    assert.equal(count('stage_duration_seconds_bucket{le="1",stage="run"}'), 2);
    assert.equal(count('stage_duration_seconds_sum{stage="total"}'), 0.762);
    assert.equal(count('boot_stage_duration_seconds_count{stage="kernel"}'), 1);
  });

  it('counts what was refused, by code', async () => {
    await using counting = await startServer();
    counting.engine.behaviour = () => Promise.reject(new GlasshouseError('overloaded', 'Full.'));
    await (await counting.post({ code: 'pass' })).arrayBuffer();
    const seen = await samples(counting);
    assert.equal(seen.get('glasshouse_executions_refused_total{code="overloaded"}'), 1);
  });

  it('counts requests by route and status, streams too, and never by what a client says', async () => {
    await using counting = await startServer();
    const get = async (path: string, method = 'GET'): Promise<void> => {
      await (await fetch(`${counting.url}${path}`, { method })).arrayBuffer();
    };
    await get(`/receipts/${'ab'.repeat(32)}`);
    await get(`/receipts/${'cd'.repeat(32)}`);
    for (const path of ['/secret-one', '/secret-two', '/run']) await get(path);
    await get('/secret-three', 'PROPFIND');
    const stream = await fetch(`${counting.url}/run`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: '{"code":"pass"}',
    });
    await stream.arrayBuffer();
    const text = await metrics(counting);
    const requests = text.split('\n').filter((line) => line.startsWith('glasshouse_http_requests_total'));
    assert.deepEqual(requests.sort(), [
      'glasshouse_http_requests_total{method="GET",route="/receipts/:id",status="404"} 2',
      'glasshouse_http_requests_total{method="POST",route="/run",status="200"} 1',
      'glasshouse_http_requests_total{method="other",route="none",status="404"} 3',
      'glasshouse_http_requests_total{method="other",route="none",status="405"} 1',
    ]);
    assert.doesNotMatch(text, /secret|PROPFIND|127\.0\.0\.1/u);
  });

  it('shows what the backend reports of itself', async () => {
    assert.equal((await samples()).get('glasshouse_pool_ready'), 3);
    assert.match(await metrics(), /^# HELP glasshouse_pool_ready Clones that are ready\.$/mu);
  });

  it('shows what the process itself takes', async () => {
    const seen = await samples();
    for (const name of [
      'process_cpu_seconds_total',
      'process_start_time_seconds',
      'process_resident_memory_bytes',
      'process_open_fds',
      'nodejs_heap_size_used_bytes',
      'nodejs_external_memory_bytes',
      'nodejs_eventloop_lag_seconds',
    ])
      assert.ok((seen.get(name) ?? 0) > 0, name);
    assert.ok((seen.get('nodejs_eventloop_utilization_ratio') ?? -1) >= 0);
  });

  it('belongs to its server: another one begins at nothing', async () => {
    await using other = await startServer();
    assert.doesNotMatch(await metrics(other), /^glasshouse_http_requests_total\{/mu);
  });

  it('is documented, every metric by its name', async () => {
    await (await running.post({ code: 'pass' })).arrayBuffer();
    const names = [...(await metrics()).matchAll(/^# TYPE (\S+) /gmu)].map((match) => match[1] ?? '');
    const documentation = readFileSync(`${REPOSITORY}/docs/http.md`, 'utf8');
    const own = names.filter((name) => name !== 'glasshouse_pool_ready');
    assert.deepEqual(
      own.filter((name) => !documentation.includes(`\`${name}\``)),
      [],
    );
  });
});
