import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { Installation } from '../cli/command-line.js';
import { PLANTED, PLANTED_SETTINGS } from '../redaction/planted-secrets.js';
import { withoutObservation } from './observation.js';

const all = PLANTED.flatMap(({ secrets }) => secrets);
/** One command of a script for each planted kind; nothing but what it executes tells of the secrets. */
const SCRIPT = PLANTED.map(({ argv }) => ['/bin/true', ...argv].map(inQuotes).join(' ')).join('\n');
const environment = {
  ...Object.assign({}, ...PLANTED.map((planted) => planted.environment)),
  GLASSHOUSE_SECRET_FLAGS: PLANTED_SETTINGS.secret_flags,
  GLASSHOUSE_SECRET_PATTERNS: PLANTED_SETTINGS.secret_patterns,
} as Record<string, string>;

function inQuotes(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** As it stands, and as it stands inside JSON. */
function assertNotIn(bytes: Uint8Array, place: string): void {
  for (const secret of all)
    for (const form of [secret, JSON.stringify(secret).slice(1, -1)])
      assert.ok(!Buffer.from(bytes).includes(form), `${place} has ${form}`);
}

describe('secrets of programs that are observed', { skip: withoutObservation }, () => {
  for (const form of [[], ['--json']])
    it(`are neither in --follow ${form.join('')} nor in --events nor in the receipt, and marks are`, async () => {
      using installation = new Installation();
      writeFileSync(join(installation.directory, 'script'), SCRIPT);
      const { code, stdout, stderr } = await installation.call(
        ['run', '--profile', 'required', '--follow', ...form, '--events', 'events', '--', 'sh', 'script'],
        { environment },
      );
      assert.deepEqual([code, stdout], [0, '']);
      const events = readFileSync(join(installation.directory, 'events'));
      const shown = await installation.ok(['receipts', 'show', '--json']);
      for (const [place, bytes] of [
        ['--follow', Buffer.from(stderr)],
        ['--events', events],
        ['the receipt', Buffer.from(shown)],
        ['the database', readFileSync(join(installation.dataDirectory, 'glasshouse.db'))],
      ] as const)
        assertNotIn(bytes, place);
      for (const text of [stderr, events.toString(), shown])
        assert.ok(text.split('[redacted:').length > PLANTED.length, 'every command has a mark');
    });
});
