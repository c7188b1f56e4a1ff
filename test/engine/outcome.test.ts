import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Termination } from '../../src/backends/backend.js';
import { ERROR_CODES, type ErrorCode, GlasshouseError } from '../../src/base/errors.js';
import { type Interruption, outcomeOf, outcomeOfFailedStart } from '../../src/engine/outcome.js';

const LOST = new GlasshouseError('guest_lost', 'gone');

describe('the outcome of a program that ran', () => {
  const table: readonly (readonly [Termination, string, number | null, string | null])[] = [
    [{ kind: 'exited', exitCode: 0 }, 'ok', 0, null],
    [{ kind: 'exited', exitCode: 1 }, 'error', 1, null],
    [{ kind: 'exited', exitCode: 255 }, 'error', 255, null],
    [{ kind: 'signaled', signal: 'SIGSEGV' }, 'error', null, 'SIGSEGV'],
    [{ kind: 'out_of_memory' }, 'oom', null, 'SIGKILL'],
    [{ kind: 'lost', error: LOST }, 'infra_error', null, null],
  ];
  for (const [termination, status, exitCode, signal] of table) {
    it(`that ${termination.kind} is ${status}`, () => {
      const outcome = outcomeOf(termination, null);
      assert.deepEqual([outcome.status, outcome.exitCode, outcome.signal], [status, exitCode, signal]);
      assert.equal(outcome.error, termination.kind === 'lost' ? LOST : null);
    });

    for (const interruption of ['timeout', 'output_limit', 'canceled'] as const) {
      it(`that ${termination.kind} after an interruption is ${interruption}, and how it ended stays`, () => {
        const outcome = outcomeOf(termination, interruption);
        assert.deepEqual(
          [outcome.status, outcome.exitCode, outcome.signal],
          [interruption, exitCode, signal],
        );
      });
    }

    it(`that ${termination.kind} after the deadline of the request is timeout, and says so`, () => {
      const { error, ...outcome } = outcomeOf(termination, 'deadline');
      assert.deepEqual(outcome, { status: 'timeout', exitCode, signal });
      assert.equal(error?.code, 'deadline_exceeded');
    });
  }
});

describe('the outcome of a program that never ran', () => {
  const special: Readonly<Partial<Record<ErrorCode, readonly [string, number | null]>>> = {
    command_not_found: ['error', 127],
    command_not_executable: ['error', 126],
    limit_exceeded: ['error', null],
  };
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    const [status, exitCode] = special[code] ?? ['infra_error', null];
    it(`because of ${code} is ${status}`, () => {
      const error = new GlasshouseError(code, 'why');
      const outcome = outcomeOfFailedStart(error, null);
      assert.deepEqual([outcome.status, outcome.exitCode, outcome.signal], [status, exitCode, null]);
      assert.equal(outcome.error, error);
    });
  }

  it('is what interrupted it, if anything did', () => {
    const interruption: Interruption = 'canceled';
    assert.equal(outcomeOfFailedStart(LOST, interruption).status, 'canceled');
    const { status, error } = outcomeOfFailedStart(LOST, 'deadline');
    assert.deepEqual([status, error?.code, error?.cause], ['timeout', 'deadline_exceeded', LOST]);
  });
});
