import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import {
  MachineMetrics,
  MAX_LINE_BYTES,
  MAX_LINES,
  MAX_METRICS_BYTES,
  MetricsTally,
} from '../../../src/backends/firecracker/metrics.js';

function valuesOf(tally: MetricsTally): Readonly<Record<string, number>> {
  return Object.fromEntries(tally.gauges().map(({ name, value }) => [name, value]));
}

/** What is counted when one machine writes this. */
function counted(...chunks: readonly (string | Uint8Array)[]): Readonly<Record<string, number>> {
  const tally = new MetricsTally();
  const metrics = new MachineMetrics(tally);
  for (const chunk of chunks) metrics.take(Buffer.from(chunk));
  return valuesOf(tally);
}

const throttled = (events: unknown): string =>
  `${JSON.stringify({ utc_timestamp_ms: 1, block: { rate_limiter_throttled_events: events } })}\n`;

const faults = (count: number): string => `${JSON.stringify({ seccomp: { num_faults: count } })}\n`;

describe('the metrics of Firecrackers', () => {
  it('add up over lines and machines, since each line says what is new', () => {
    const tally = new MetricsTally();
    for (const lines of [throttled(3) + throttled(4), throttled(5)])
      assert.ok(new MachineMetrics(tally).take(Buffer.from(lines)));
    assert.equal(valuesOf(tally)['firecracker_disk_throttled'], 12);
  });

  it('count once what a machine says with every line since its start', () => {
    assert.equal(counted(faults(0), faults(1), faults(1))['firecracker_seccomp_faults'], 1);
    const tally = new MetricsTally();
    for (const line of [faults(1), faults(1)]) new MachineMetrics(tally).take(Buffer.from(line));
    assert.equal(valuesOf(tally)['firecracker_seccomp_faults'], 2);
  });

  it('are the same however the pipe cuts them', () => {
    const bytes = Buffer.from(throttled(3) + faults(1) + throttled(4));
    const whole = counted(bytes);
    fc.assert(
      fc.property(fc.array(fc.nat({ max: bytes.length })), (cuts) => {
        const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const chunks = edges.slice(1).map((end, index) => bytes.subarray(edges[index], end));
        assert.deepEqual(counted(...chunks), whole);
      }),
    );
  });

  it('have the same names at every time', () => {
    assert.deepEqual(Object.keys(counted()), Object.keys(counted(throttled(3), 'no metrics\n')));
  });

  it('do not count what is no count', () => {
    for (const value of [-1, 0.5, 1e300, '7', null, [1], {}, true])
      assert.equal(counted(throttled(value))['firecracker_disk_throttled'], 0, JSON.stringify(value));
    for (const line of ['{"block":null}\n', '{"block":[3]}\n', '{"__proto__":{"block":1}}\n', '{}\n'])
      assert.equal(counted(line)['firecracker_metrics_unheard'], 0, line);
  });

  it('stay a number however often the largest is added', () => {
    const value = counted(...Array.from({ length: 5 }, () => throttled(Number.MAX_SAFE_INTEGER)));
    assert.equal(value['firecracker_disk_throttled'], Number.MAX_SAFE_INTEGER);
  });

  it('are no longer listened to after a line that is none; what was before it counts', () => {
    for (const bad of ['no metrics', '', '[]', '1', 'null', '{"block":', '\u0000', '{}{}']) {
      const values = counted(`${throttled(1)}${bad}\n${throttled(3)}`, throttled(3));
      assert.deepEqual(
        [values['firecracker_disk_throttled'], values['firecracker_metrics_unheard']],
        [1, 1],
        bad,
      );
    }
  });

  it('are never more than a few finite numbers, whatever a machine writes', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.uint8Array(), fc.json(), fc.constant('\n'))), (chunks) => {
        for (const value of Object.values(counted(...chunks))) assert.ok(Number.isSafeInteger(value));
      }),
    );
  });

  it('are no longer listened to after a line without end', () => {
    const tally = new MetricsTally();
    const metrics = new MachineMetrics(tally);
    assert.ok(metrics.take(Buffer.alloc(MAX_LINE_BYTES, 'x')));
    assert.ok(!metrics.take(Buffer.from('x')));
    assert.ok(!metrics.take(Buffer.from(`\n${throttled(3)}`)));
    assert.deepEqual(
      [valuesOf(tally)['firecracker_disk_throttled'], valuesOf(tally)['firecracker_metrics_unheard']],
      [0, 1],
    );
  });

  it('are no longer listened to when they never end', () => {
    const tally = new MetricsTally();
    assert.ok(!new MachineMetrics(tally).take(Buffer.from(throttled(1).repeat(MAX_LINES + 1))));
    assert.equal(valuesOf(tally)['firecracker_disk_throttled'], MAX_LINES);
    const long = new MachineMetrics(new MetricsTally());
    const line = Buffer.from(throttled(1).padStart(MAX_LINE_BYTES + 1, ' '));
    let bytes = 0;
    while (long.take(line)) bytes += line.length;
    assert.ok(bytes <= MAX_METRICS_BYTES && bytes > MAX_METRICS_BYTES - 2 * line.length);
  });
});
