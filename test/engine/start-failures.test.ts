import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type ErrorCode, GlasshouseError } from '../../src/base/errors.js';
import { type EndedExecution } from '../../src/engine/execution.js';
import { outcomeOf, outcomeOfFailedStart } from '../../src/engine/outcome.js';
import { StartFailures } from '../../src/engine/start-failures.js';

type Ended = Pick<EndedExecution, 'result' | 'outcome'>;

const RESULT = {
  termination: { kind: 'lost', error: new GlasshouseError('vmm_failed', 'A message.') },
  runMs: 1,
  collectMs: 1,
  resources: null,
  outputFiles: [],
  outputFilesComplete: true,
} as const;
/** Of a program that ran until its machine was lost. */
const ENDED: Ended = { result: RESULT, outcome: outcomeOf(RESULT.termination, null) };
const STARTED = 'started';

function neverRan(code: ErrorCode): Ended {
  return { result: null, outcome: outcomeOfFailedStart(new GlasshouseError(code, 'A message.'), null) };
}

/** What is said `pauseMs` after the last of these. */
function reasonAfter(events: readonly (Ended | typeof STARTED)[], pauseMs = 0): string | null {
  let now = 1000;
  const failures = new StartFailures(() => now);
  for (const event of events) {
    if (event === STARTED) failures.recordStart();
    else failures.recordEnd(event);
  }
  now += pauseMs;
  return failures.reason();
}

describe('programs that could not be started', () => {
  const failed = neverRan('vmm_failed');

  it('are a reason not to send more when there were three in a row, with the code of the last one', () => {
    assert.match(reasonAfter([failed, failed, neverRan('disk_full')]) ?? '', /last 3 .*\(disk_full\)/);
    assert.match(reasonAfter([STARTED, failed, failed, failed, failed]) ?? '', /last 4 .*\(vmm_failed\)/);
  });

  it('are none when there were fewer, or one in between was started', () => {
    assert.equal(reasonAfter([]), null);
    assert.equal(reasonAfter([failed, failed]), null);
    assert.equal(reasonAfter([failed, failed, STARTED, failed]), null);
    assert.equal(reasonAfter([failed, failed, failed, STARTED]), null);
  });

  it('are not made good by the end of one that was started before, nor added to by its loss', () => {
    assert.match(reasonAfter([STARTED, failed, failed, failed, ENDED]) ?? '', /last 3/);
    assert.equal(reasonAfter([STARTED, failed, failed, ENDED]), null);
  });

  it('are forgotten after half a minute, until the next one', () => {
    assert.notEqual(reasonAfter([failed, failed, failed], 29_999), null);
    assert.equal(reasonAfter([failed, failed, failed], 30_000), null);
  });

  it('do not count when it was the request that made it fail, and interrupt no row', () => {
    const asked = [
      neverRan('guest_setup_failed'),
      neverRan('command_not_found'),
      neverRan('limit_exceeded'),
      neverRan('guest_lost'),
    ];
    assert.equal(reasonAfter([...asked, ...asked]), null);
    assert.match(reasonAfter([failed, failed, ...asked, failed]) ?? '', /last 3/);
  });

  it('do not count when somebody ended them before they started', () => {
    const error = new GlasshouseError('boot_timeout', 'A message.');
    const canceled: Ended = { result: null, outcome: outcomeOfFailedStart(error, 'canceled') };
    assert.equal(reasonAfter([canceled, canceled, canceled]), null);
  });
});
