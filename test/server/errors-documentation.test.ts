import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ERROR_CODES } from '../../src/base/errors.js';
import { HTTP_STATUS } from '../../src/server/problem.js';

describe('docs/errors.md', () => {
  it('has exactly one row for each code, with its status and meaning', () => {
    const rows = readFileSync('docs/errors.md', 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) =>
        line
          .slice(1, -1)
          .split('|')
          .map((cell) => cell.trim()),
      );
    const expected = Object.entries(ERROR_CODES).map(([code, meaning]) => [
      `\`${code}\``,
      String(HTTP_STATUS[code as keyof typeof ERROR_CODES]),
      meaning,
    ]);
    assert.deepEqual(rows, expected);
  });
});
