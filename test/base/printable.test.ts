import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { escapeUnprintable, escapeUnprintableJson, printableTail } from '../../src/base/printable.js';

const HOSTILE = 'a\u001b[2J\u009b31m\u007f\u202eb\u2028c\u{e0001}\r\n';

describe('text that somebody else wrote', () => {
  it('has no character left that a terminal obeys', () => {
    const shown = String.raw`a\u{1b}[2J\u{9b}31m\u{7f}\u{202e}b\u{2028}c\u{e0001}\u{d}\u{a}`;
    assert.equal(escapeUnprintable(HOSTILE), shown);
    assert.equal(printableTail('one\r\n two \n', 80), 'one | two');
  });

  it('is the same JSON, without what a terminal obeys', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const json = JSON.stringify({ value, HOSTILE }, null, 2);
        const escaped = escapeUnprintableJson(json);
        assert.equal(JSON.stringify(JSON.parse(escaped)), JSON.stringify(JSON.parse(json)));
        assert.doesNotMatch(escaped, /[^\P{C}\n]|[\u2028\u2029]/u);
      }),
    );
  });
});
