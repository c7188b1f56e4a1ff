import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { type OutputStream } from '../../src/backends/backend.js';
import { OutputCapture } from '../../src/engine/output-capture.js';

const chunks = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 });

describe('captured output', () => {
  it('is hashed up to the limit, kept up to its own, and passed on exactly', async () => {
    const bound = fc.integer({ min: 0, max: 2000 });
    await fc.assert(
      fc.asyncProperty(chunks, bound, fc.option(bound), async (written, keepBytes, endAfterBytes) => {
        const whole = Buffer.concat(written);
        const passed: Uint8Array[] = [];
        const limits: OutputStream[] = [];
        const listener = {
          write: (_stream: OutputStream, chunk: Uint8Array) =>
            Promise.resolve(void passed.push(chunk.slice())),
        };
        const capture = new OutputCapture({ keepBytes, endAfterBytes }, listener, (stream) =>
          limits.push(stream),
        );
        for (const chunk of written) await capture.write('stdout', chunk);
        const taken = whole.subarray(0, endAfterBytes ?? whole.length);
        const report = capture.report('stdout');
        assert.equal(report.sha256, createHash('sha256').update(taken).digest('hex'));
        assert.equal(report.totalBytes, taken.length);
        assert.deepEqual(Buffer.from(report.kept), taken.subarray(0, keepBytes));
        assert.deepEqual(Buffer.concat(passed), taken);
        const overLimit = whole.length > taken.length;
        assert.deepEqual(limits, overLimit ? ['stdout'] : []);
        assert.equal(report.truncated, overLimit || taken.length > keepBytes);
        assert.equal(capture.report('stderr').totalBytes, 0);
      }),
    );
  });

  it('counts each stream for itself', async () => {
    const limits: OutputStream[] = [];
    const capture = new OutputCapture({ keepBytes: 10, endAfterBytes: 4 }, null, (stream) =>
      limits.push(stream),
    );
    await capture.write('stdout', Buffer.from('1234'));
    await capture.write('stderr', Buffer.from('12345'));
    await capture.write('stderr', Buffer.from('6'));
    assert.deepEqual(limits, ['stderr']);
    assert.deepEqual([capture.report('stdout').truncated, capture.report('stderr').truncated], [false, true]);
  });

  it('keeps a copy, because a chunk may be used again', async () => {
    const capture = new OutputCapture({ keepBytes: 10, endAfterBytes: null }, null, () => undefined);
    const chunk = Buffer.from('good');
    await capture.write('stdout', chunk);
    chunk.fill('x');
    assert.equal(Buffer.from(capture.report('stdout').kept).toString(), 'good');
  });

  it('hands the failure of a listener on', async () => {
    const failing = { write: () => Promise.reject(new Error('gone')) };
    const capture = new OutputCapture({ keepBytes: 10, endAfterBytes: null }, failing, () => undefined);
    await assert.rejects(capture.write('stdout', Buffer.from('x')), /gone/);
  });
});
