import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { quote, textFromBytes, textFromString, textToBytes } from '../../src/receipts/text.js';

describe('Text', () => {
  it('is a string for UTF-8 and base64 for anything else, and keeps every byte', () => {
    assert.equal(textFromBytes(Buffer.from('ö/€/😀')), 'ö/€/😀');
    assert.deepEqual(textFromBytes(Uint8Array.of(0x66, 0xff)), { base64: 'Zv8=' });
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        assert.deepEqual(Buffer.from(textToBytes(textFromBytes(bytes))), Buffer.from(bytes));
      }),
    );
  });

  it('takes for text exactly what a fatal decoder takes, also what was written as a replacement character', () => {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const replacement = fc.constant(Buffer.from('\ufffd'));
    const piece = fc.oneof(
      fc.uint8Array(),
      fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
      replacement,
    );
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const bytes = Buffer.concat(pieces);
        const text = textFromBytes(bytes);
        if (typeof text === 'string') assert.equal(text, decoder.decode(bytes));
        else assert.throws(() => decoder.decode(bytes), TypeError);
      }),
    );
    assert.equal(textFromBytes(Buffer.from('a\ufffd')), 'a\ufffd');
    assert.deepEqual(textFromBytes(Buffer.from([0xef, 0xbf, 0xbd, 0xff])), { base64: '77+9/w==' });
  });

  it('keeps a byte order mark', () => {
    assert.deepEqual(Buffer.from(textToBytes(textFromBytes(Buffer.from('\ufeffa')))), Buffer.from('\ufeffa'));
  });

  it('differs for different bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        fc.pre(Buffer.compare(a, b) !== 0);
        assert.notDeepEqual(textFromBytes(a), textFromBytes(b));
      }),
    );
  });

  it('keeps strings that have no UTF-8 form apart from each other', () => {
    assert.equal(textFromString('a😀'), 'a😀');
    assert.deepEqual(textFromString('a\ud83d'), { base64: 'Ye2gvQ==' });
    assert.notDeepEqual(textFromString('\ud83d'), textFromString('\ud83e'));
    const [high] = '😀';
    assert.notDeepEqual(textFromString(`${String(high)}\udc00\ud800`), textFromString('\ud800'));
  });

  it('throws receipt_invalid for base64 that is not canonical', () => {
    assert.throws(() => textToBytes({ base64: 'Zv8' }), { code: 'receipt_invalid' });
  });
});

describe('quote', () => {
  it('makes any text printable ASCII of bounded length', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const quoted = quote(text);
        assert.match(quoted, /^"[\x20-\x7e]*"$/);
        assert.ok(quoted.length <= 6 * 83 + 2);
      }),
    );
  });

  it('shows where the text was cut', () => {
    assert.equal(quote('a\u001b[0m'), '"a\\u001b[0m"');
    assert.ok(quote('x'.repeat(81)).endsWith('x..."'));
  });
});
