import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type BackendDescription } from '../../src/backends/backend.js';
import { FirstThatWorks } from '../../src/backends/first-that-works.js';
import { ProcessBackend } from '../../src/backends/process/process-backend.js';
import { type ErrorCode, GlasshouseError } from '../../src/base/errors.js';
import { LIMITS, never, runOn } from '../contract/subject.js';

/** The real process backend with a label, which cannot be prepared as long as there is a reason. */
class Candidate extends ProcessBackend {
  readonly label: string;
  reason: ErrorCode | null;
  prepared = 0;
  closed = 0;

  constructor(label: string, reason: ErrorCode | null) {
    super();
    this.label = label;
    this.reason = reason;
  }

  override prepare(): Promise<void> {
    this.prepared += 1;
    return this.reason === null
      ? super.prepare()
      : Promise.reject(new GlasshouseError(this.reason, `${this.label} lacks something`));
  }

  override describe(): BackendDescription {
    return { ...super.describe(), name: this.label, notes: [`${this.label} itself`] };
  }

  override close(): Promise<void> {
    this.closed += 1;
    return super.close();
  }
}

describe('the first backend that works', () => {
  it('is the best one, and the others are not tried', async () => {
    const [best, other] = [new Candidate('best', null), new Candidate('other', null)];
    const backend = new FirstThatWorks([best, other]);
    assert.equal(backend.name, 'auto');
    await backend.prepare(never);
    assert.deepEqual(
      [backend.name, backend.describe().notes, other.prepared],
      ['process', ['best itself'], 0],
    );
  });

  it('says why it is not a better one, and runs programs', async () => {
    const backend = new FirstThatWorks([
      new Candidate('best', 'tool_missing'),
      new Candidate('second', 'backend_unavailable'),
      new Candidate('third', null),
    ]);
    await backend.prepare(never);
    assert.deepEqual(backend.describe().notes, [
      'process was not chosen: best lacks something',
      'process was not chosen: second lacks something',
      'third itself',
    ]);
    const { stdout } = await runOn(backend, ['/bin/echo', 'here']);
    assert.equal(stdout.toString(), 'here\n');
  });

  it('stays the one that was chosen, whatever becomes of the others', async () => {
    const best = new Candidate('best', 'tool_missing');
    const backend = new FirstThatWorks([best, new Candidate('other', null)]);
    await backend.prepare(never);
    best.reason = null;
    await backend.prepare(never);
    assert.deepEqual([backend.describe().name, best.prepared], ['other', 1]);
  });

  it('is none when none works, with every reason, and is looked for again', async () => {
    const last = new Candidate('last', 'image_missing');
    const backend = new FirstThatWorks([new Candidate('best', 'tool_missing'), last]);
    await assert.rejects(backend.prepare(never), {
      code: 'image_missing',
      message: 'process was not chosen: best lacks something process was not chosen: last lacks something',
    });
    last.reason = null;
    await backend.prepare(never);
    assert.equal(backend.describe().name, 'last');
  });

  it('is not another one because the caller went away', async () => {
    const other = new Candidate('other', null);
    const backend = new FirstThatWorks([new Candidate('best', 'canceled'), other]);
    await assert.rejects(backend.prepare(AbortSignal.abort()), { code: 'canceled' });
    assert.equal(other.prepared, 0);
  });

  it('takes no less than any of them before it is chosen, and closes all of them', async () => {
    const candidates = [new Candidate('best', null), new Candidate('other', null)] as const;
    const backend = new FirstThatWorks([...candidates]);
    assert.deepEqual(backend.footprint(LIMITS), candidates[0].footprint(LIMITS));
    await backend.close();
    assert.deepEqual(
      candidates.map(({ closed }) => closed),
      [1, 1],
    );
  });
});
