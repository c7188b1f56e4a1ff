import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { documentationRows } from '../documentation-rows.js';
import { ERROR_CODES } from '../../src/base/errors.js';
import { HTTP_STATUS } from '../../src/server/problem.js';

describe('docs/errors.md', () => {
  it('has exactly one row for each code, with its status and meaning', () => {
    const rows = documentationRows('docs/errors.md');
    const expected = Object.entries(ERROR_CODES).map(([code, meaning]) => [
      `\`${code}\``,
      String(HTTP_STATUS[code as keyof typeof ERROR_CODES]),
      meaning,
    ]);
    assert.deepEqual(rows, expected);
  });
});
