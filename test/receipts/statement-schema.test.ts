import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { isJsonObject, type JsonObject, type JsonValue } from '../../src/receipts/json-value.js';
import { buildStatement } from '../../src/receipts/statement.js';
import { STATEMENT_SCHEMA } from '../../src/receipts/statement-schema.js';
import { observedPredicate } from './observed-sample.js';
import { at, changed, placesIn } from './places.js';
import { samplePredicate } from './sample.js';

const json = (value: unknown): JsonValue => JSON.parse(JSON.stringify(value)) as JsonValue;
const valid = json(buildStatement(samplePredicate()));
const problemOf = (statement: JsonValue): string | null => STATEMENT_SCHEMA(statement, 'statement');

/** Places whose names are data: fields of them may come and go. */
const TABLES = ['boot_stages', 'image', 'dropped', 'omitted', 'counts'];
const isInTable = (path: readonly string[]): boolean => path.some((key) => TABLES.includes(key));

const SAMPLES: Readonly<Record<string, JsonValue>> = {
  'of an execution in a guest': valid,
  'of an observed command': json(buildStatement(observedPredicate())),
};

for (const [sample, document] of Object.entries(SAMPLES)) {
  describe(`the statement schema, given the sample ${sample}`, () => {
    it('accepts it', () => {
      assert.equal(problemOf(document), null);
    });

    for (const path of placesIn(document)) {
      it(`holds ${path.join('.')} to its type`, () => {
        const wrong = typeof at(document, path) === 'boolean' ? 'true' : true;
        assert.ok(problemOf(changed(document, path, () => wrong))?.startsWith('statement.'));
      });
    }

    for (const path of placesIn(document)) {
      if (isInTable(path.slice(0, -1)) || /^\d+$/.test(path.at(-1) ?? '')) continue;
      it(`demands ${path.join('.')}`, () => {
        assert.match(problemOf(changed(document, path, () => undefined)) ?? '', /is missing$|base64$/);
      });
    }

    for (const path of placesIn(document)) {
      if (!isJsonObject(at(document, path))) continue;
      it(`refuses an unknown field in ${path.join('.')}`, () => {
        const extended = changed(document, path, (old) => ({ ...(old as JsonObject), Unknown: 1 }));
        assert.match(problemOf(extended) ?? '', /Unknown|base64/);
      });
    }
  });
}

describe('the statement schema', () => {
  const bad: readonly (readonly [string, JsonValue, string?])[] = [
    ['version', 2],
    ['execution_id', '01890a5d-ac96-4000-8000-000000000001', 'a UUID of another version'],
    ['execution_id', '01890A5D-AC96-7000-8000-000000000001', 'capitals'],
    ['provenance', 'guest+host'],
    ['timestamp', '2025-01-02T03:04:05Z', 'no milliseconds'],
    ['timestamp', '2025-01-02T03:04:05.678+00:00', 'an offset'],
    ['timestamp', '2025-02-30T03:04:05.678Z', 'a day that does not exist'],
    ['timestamp', '2025-01-02T24:00:00.000Z', 'an hour that does not exist'],
    ['timestamp', '2025-01-02T03:04:05.678Z\n', 'a line end'],
    ['request.kind', 'shell'],
    ['request.code_sha256', 'A'.repeat(64), 'capitals'],
    ['request.code_sha256', 'a'.repeat(63), 'too short'],
    ['request.timeout_ms', -1],
    ['request.timeout_ms', 0.5],
    ['request.timeout_ms', 2 ** 53],
    ['request.argv', ['x'.repeat(131_073)], 'too long'],
    ['request.argv', ['\ud800'], 'no Unicode'],
    ['request.argv', [{ base64: 'YQ==' }], 'base64 for what is text'],
    ['request.argv', [{ base64: '/w' }], 'base64 without padding'],
    ['request.argv', [{ base64: '/w==', text: '' }], 'two forms at once'],
    ['request.input_files', {}],
    ['outcome.status', 'OK'],
    ['outcome.exit_code', 256],
    ['outcome.signal', 'KILL'],
    ['outcome.error', { code: 'x' }],
    ['outcome.error', { code: 'Bad Code', message: '' }],
    ['timing.boot_stages', { kernel_ms: 1 }, 'another unit'],
    ['timing.boot_stages', { kernel_us: -1 }],
    ['execution.start', 'warm'],
    ['execution.image', { kernel: 1 }],
    ['process_tree', [{}]],
    ['filesystem', {}],
    ['observation.level', 'host'],
    ['observation.events', 1],
    ['artifacts.files.0.mode', '644'],
    ['artifacts.files.0.mode', '0o644'],
    ['artifacts.files.0.omitted', 'too large'],
    ['artifacts.files.0.path', 'x'.repeat(4_096), 'too long'],
  ];
  for (const [place, value, why] of bad) {
    it(`refuses ${place}: ${why ?? JSON.stringify(value)}`, () => {
      const path = ['predicate', ...place.split('.')];
      assert.match(
        problemOf(changed(valid, path, () => value)) ?? '',
        new RegExp(`statement.predicate.${place.split('.')[0] ?? ''}`),
      );
    });
  }

  it('refuses tables with too many entries', () => {
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`stage${index}_us`, 1]));
    const problem = problemOf(changed(valid, ['predicate', 'timing', 'boot_stages'], () => many));
    assert.match(problem ?? '', /more than 64/);
  });

  it('escapes the names that it quotes', () => {
    const problem = problemOf({ ...(valid as JsonObject), '\u001b[31m': 1 });
    assert.match(problem ?? '', /^[\x20-\x7e]+$/);
  });
});
