import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { findInconsistency } from '../../src/receipts/consistency.js';
import { type Outcome, type Predicate } from '../../src/receipts/receipt.js';
import { buildStatement } from '../../src/receipts/statement.js';
import { samplePredicate } from './sample.js';

const sample = samplePredicate();
const problemOf = (overrides: Partial<Predicate>): string | null =>
  findInconsistency(buildStatement({ ...sample, ...overrides }));
const outcome = (parts: Partial<Outcome>): Partial<Predicate> => ({
  outcome: { status: 'error', exit_code: null, signal: null, error: null, ...parts },
});
const error = { code: 'guest_lost', message: 'gone' };

describe('consistency', () => {
  const honest: Record<string, Partial<Predicate>> = {
    'a clean exit': {},
    'an instant one': { finished_at: sample.timestamp },
    'a failing exit': outcome({ exit_code: 1 }),
    'a death by signal': outcome({ signal: 'SIGSEGV' }),
    'a command that does not exist': outcome({ error: { code: 'command_not_found', message: 'no' } }),
    'a timeout that ended in an exit of its own': outcome({ status: 'timeout', exit_code: 0 }),
    'a timeout that ended in a signal': outcome({ status: 'timeout', signal: 'SIGKILL' }),
    'a timeout of which no end was seen': outcome({ status: 'timeout' }),
    'a lost guest': outcome({ status: 'infra_error', error }),
    'an owner that died': {
      ...outcome({ status: 'infra_error', error }),
      provenance: 'none',
      resources: null,
    },
    'a command': { request: { ...sample.request, kind: 'command', code_sha256: null, argv: ['true'] } },
    'combined streams': {
      artifacts: {
        ...sample.artifacts,
        stderr_sha256: sample.artifacts.stdout_sha256,
        stderr_bytes: sample.artifacts.stdout_bytes,
        streams_combined: true,
      },
    },
    'streams on a terminal': {
      artifacts: { ...sample.artifacts, stdout_sha256: null, stdout_bytes: null },
    },
  };
  for (const [name, overrides] of Object.entries(honest)) {
    it(`holds for ${name}`, () => {
      assert.equal(problemOf(overrides), null);
    });
  }

  const [file] = sample.artifacts.files;
  assert.ok(file !== undefined);
  const contradictory: Record<string, [Partial<Predicate>, RegExp]> = {
    'an end before the start': [{ finished_at: '2025-01-02T03:04:05.677Z' }, /finished before/],
    'exit code and signal': [outcome({ exit_code: 1, signal: 'SIGKILL' }), /both/],
    'ok with exit code 1': [outcome({ status: 'ok', exit_code: 1 }), /ok without/],
    'ok with a signal': [outcome({ status: 'ok', signal: 'SIGKILL' }), /ok without/],
    'ok with nothing': [outcome({ status: 'ok' }), /ok without/],
    'ok with an error': [outcome({ status: 'ok', exit_code: 0, error }), /ok without/],
    'error with exit code 0': [outcome({ exit_code: 0 }), /error with exit code 0/],
    'error with nothing': [outcome({}), /error without/],
    'infra_error with nothing': [outcome({ status: 'infra_error' }), /infra_error without/],
    'ok that nobody saw': [{ provenance: 'none', resources: null }, /nobody saw/],
    'resources from a side that saw nothing': [{ provenance: 'host' }, /measured/],
    'Python without code': [{ request: { ...sample.request, code_sha256: null } }, /code_sha256/],
    'a command with code': [{ request: { ...sample.request, kind: 'command', argv: ['a'] } }, /code_sha256/],
    'a command without argv': [
      { request: { ...sample.request, kind: 'command', code_sha256: null } },
      /no argv/,
    ],
    'stdout with a hash alone': [{ artifacts: { ...sample.artifacts, stdout_bytes: null } }, /stdout/],
    'stderr with a length alone': [{ artifacts: { ...sample.artifacts, stderr_sha256: null } }, /stderr/],
    'combined streams that differ': [
      { artifacts: { ...sample.artifacts, streams_combined: true } },
      /combined/,
    ],
    'a file without hash or reason': [
      { artifacts: { ...sample.artifacts, files: [{ ...file, sha256: null }] } },
      /neither/,
    ],
    'a file with hash and reason': [
      { artifacts: { ...sample.artifacts, files: [{ ...file, omitted: 'too_large' }] } },
      /both/,
    ],
    'a file listed twice': [{ artifacts: { ...sample.artifacts, files: [file, file] } }, /twice/],
  };
  for (const [name, [overrides, message]] of Object.entries(contradictory)) {
    it(`fails for ${name}`, () => {
      assert.match(problemOf(overrides) ?? 'consistent', message);
    });
  }

  it('fails for subjects that are missing, foreign, renamed or in another order', () => {
    const statement = buildStatement(sample);
    const [first, second, ...rest] = statement.subject;
    assert.ok(first !== undefined && second !== undefined);
    for (const subject of [
      [],
      [...statement.subject, first],
      [second, first, ...rest],
      [{ ...first, name: 'stdin' }, second, ...rest],
      [{ ...first, digest: { sha256: '0'.repeat(64) } }, second, ...rest],
    ]) {
      assert.match(findInconsistency({ ...statement, subject }) ?? 'consistent', /subjects/);
    }
  });
});
