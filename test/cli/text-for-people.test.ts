import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { commandForPeople, textForPeople } from '../../src/cli/text-for-people.js';
import { textFromBytes } from '../../src/receipts/text.js';

describe('a text of a receipt', () => {
  it('is shown as it is, bytes that are no UTF-8 in base64', () => {
    assert.equal(textForPeople('/tmp/ä b'), '/tmp/ä b');
    assert.equal(textForPeople({ base64: '/w==' }), 'base64:/w==');
  });

  it('looks like no other', () => {
    const texts = fc.oneof(
      fc.string(),
      fc.constantFrom('base64:/w==', '"base64:/w=="', String.raw`"\"base64:/w==\""`),
      fc.constant({ base64: '/w==' }),
    );
    fc.assert(
      fc.property(texts, texts, (one, other) => {
        const isSame = JSON.stringify(one) === JSON.stringify(other);
        assert.equal(textForPeople(one) === textForPeople(other), isSame);
      }),
      { examples: [['base64:/w==', { base64: '/w==' }]] },
    );
  });
});

describe('a command of a receipt', () => {
  it('is the one that was run when it is typed', () => {
    const argument = fc.oneof(
      fc.string({ unit: 'binary-ascii' }).map((text) => Buffer.from(text)),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(fc.array(argument, { minLength: 1, maxLength: 4 }), (argv) => {
        const given = argv.map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0)));
        const typed = commandForPeople(given.map(textFromBytes));
        const { stdout } = spawnSync('bash', ['-c', `printf '%s\\0' ${typed}`], { env: { LC_ALL: 'C' } });
        assert.deepEqual(stdout, Buffer.concat(given.flatMap((bytes) => [bytes, Buffer.of(0)])));
      }),
      { numRuns: 40, examples: [[[Buffer.from('base64:/w=='), Buffer.of(0xff), Buffer.from("it's $HOME")]]] },
    );
  });
});
