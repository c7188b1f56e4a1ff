import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { decodeBase64, encodeBase64 } from '../../src/receipts/base64.js';

const refused = { name: 'GlasshouseError', code: 'receipt_invalid' };

describe('base64', () => {
  it('encodes the test vectors of RFC 4648 section 10', () => {
    const vectors = {
      '': '',
      f: 'Zg==',
      fo: 'Zm8=',
      foo: 'Zm9v',
      foob: 'Zm9vYg==',
      fooba: 'Zm9vYmE=',
      foobar: 'Zm9vYmFy',
    };
    for (const [text, encoded] of Object.entries(vectors)) {
      assert.equal(encodeBase64(Buffer.from(text)), encoded);
      assert.equal(Buffer.from(decodeBase64(encoded)).toString(), text);
    }
  });

  it('encodes as Buffer does, also above the size of one piece, and decodes its own output', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 100, size: 'max' }),
        fc.constantFrom(1, 1_000),
        (bytes, repeat) => {
          const large = Buffer.concat(new Array<Uint8Array>(repeat).fill(bytes));
          const encoded = encodeBase64(large);
          assert.equal(encoded, large.toString('base64'));
          assert.deepEqual(Buffer.from(decodeBase64(encoded)), large);
        },
      ),
    );
  });

  for (const [why, text] of [
    ['padding is missing', 'Zg'],
    ['padding is short', 'Zg='],
    ['padding is too long', 'Zg==='],
    ['padding stands alone', '===='],
    ['unused bits are set', 'Zh=='],
    ['unused bits are set', 'Zm9='],
    ['the alphabet is the one for URLs', '-_8='],
    ['there is white space', 'Zm9v\n'],
    ['there is white space inside', 'Zm 9v'],
    ['there is a foreign character', 'Zm9\u00e9'],
    ['padding is in the middle', 'Zg==Zg=='],
  ] as const) {
    it(`refuses ${JSON.stringify(text)}: ${why}`, () => {
      assert.throws(() => decodeBase64(text), refused);
    });
  }
});
