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

  it('encodes every byte, alone and among ASCII, also those that are no UTF-8, or a mark of its order', () => {
    for (let byte = 0; byte < 256; byte += 1)
      for (const around of [[], [0x41], [0x41, 0x42, 0x43]]) {
        const bytes = Buffer.from([...around, byte, ...around]);
        assert.equal(encodeBase64(bytes), bytes.toString('base64'), bytes.toString('hex'));
      }
    for (const text of ['\ufeffa', '\ufffd', 'caf\u00e9', '\ud83d\ude00'])
      assert.equal(encodeBase64(Buffer.from(text)), Buffer.from(text).toString('base64'), text);
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
