import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { parseStrictJson } from '../../src/receipts/strict-json.js';
import { utf8 } from './sample.js';

const BOUNDS = { maxBytes: 1_000_000, maxDepth: 64, maxContainers: 10_000 };
const refused = { name: 'GlasshouseError', code: 'receipt_invalid' };
const parse = (text: string): unknown => parseStrictJson(utf8(text), BOUNDS);

/** Objects without a prototype become ordinary ones, so that deepEqual compares only what is in them; -0 becomes 0. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('parseStrictJson', () => {
  it('agrees with JSON.parse on valid JSON, however it is spaced', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ stringUnit: 'binary' }),
        fc.constantFrom(undefined, 1, '\t'),
        (value, indent) => {
          const text = JSON.stringify(value, null, indent);
          assert.deepEqual(plain(parse(text)), JSON.parse(text));
        },
      ),
    );
  });

  it('takes what JSON.parse takes and refuses what it refuses, for text that is nearly JSON', () => {
    const nearlyJson = fc
      .array(fc.constantFrom(...Array.from('{}[]:,"\\/ \n0123456789-+.eEtruefalsnu')), { maxLength: 12 })
      .map((characters) => characters.join(''));
    fc.assert(
      fc.property(nearlyJson, (text) => {
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          assert.throws(() => parse(text), refused);
          return;
        }
        // Where the two differ on purpose: duplicate names, and numbers that only an infinity could stand for.
        if (/"[^"]*"\s*:.*"[^"]*"\s*:/s.test(text) || /[eE]/.test(text)) return;
        assert.deepEqual(plain(parse(text)), plain(expected));
      }),
      { numRuns: 2_000, examples: [['-0']] },
    );
  });

  it('refuses duplicate names at any depth, however they are written', () => {
    for (const text of [
      '{"a":1,"a":1}',
      '{"a":1,"b":2,"a":3}',
      String.raw`{"a":1,"\u0061":2}`,
      '[{"x":{"a":1,"a":2}}]',
      '{"__proto__":1,"__proto__":2}',
      '{"":1,"":2}',
    ]) {
      assert.throws(() => parse(text), { ...refused, code: 'duplicate_name', message: /appears twice/ });
    }
  });

  it('refuses a duplicate of any member of a generated object', () => {
    const objects = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue(), { minKeys: 1 });
    fc.assert(
      fc.property(objects, fc.nat(), (object, choice) => {
        const members = Object.entries(object).map(
          ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`,
        );
        members.push(members[choice % members.length] ?? '');
        assert.throws(() => parse(`{${members.join(',')}}`), {
          ...refused,
          code: 'duplicate_name',
          message: /appears twice/,
        });
      }),
    );
  });

  it('takes numbers in any notation that loses nothing', () => {
    assert.deepEqual(
      parse('[4.0, 40e-1, 0.0004E4, 0e-999, -0.0, 1234567890123456]'),
      [4, 4, 4, 0, -0, 1234567890123456],
    );
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        (value) => parse(String(value)) === value || value === 0,
      ),
    );
  });

  it('bounds how many objects and arrays there are, wherever they stand', () => {
    const bounds = { ...BOUNDS, maxContainers: 3 };
    for (const [text, isRefused] of [
      ['[{},{}]', false],
      ['[{},[1],{}]', true],
      ['{"a":{"b":{}}}', false],
      ['{"a":{"b":{"c":{}}}}', true],
    ] as const)
      if (isRefused)
        assert.throws(() => parseStrictJson(utf8(text), bounds), {
          ...refused,
          message: /more than 3 objects and arrays/,
        });
      else parseStrictJson(utf8(text), bounds);
  });

  it('treats the names of Object.prototype like any other', () => {
    const value = parse('{"__proto__":{"polluted":true},"constructor":1,"toString":2}') as Record<
      string,
      unknown
    >;
    assert.equal(Object.getPrototypeOf(value), null);
    assert.deepEqual(Object.keys(value), ['__proto__', 'constructor', 'toString']);
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });

  const malformed: readonly (readonly [string, string])[] = [
    ['nothing', ''],
    ['white space alone', ' \n'],
    ['a second document', '{} {}'],
    ['trailing text', 'null x'],
    ['a NUL at the end', 'null\0'],
    ['a byte order mark', '\ufeffnull'],
    ['a byte order mark at the end', 'null\ufeff'],
    ['white space that JSON does not know', '\u00a0null'],
    ['a comment', '{}//'],
    ['a trailing comma in an array', '[1,]'],
    ['a trailing comma in an object', '{"a":1,}'],
    ['a missing comma', '[1 2]'],
    ['an unquoted name', '{a:1}'],
    ['single quotes', "'a'"],
    ['a leading zero', '01'],
    ['a plus sign', '+1'],
    ['a bare minus', '-'],
    ['a bare fraction', '.5'],
    ['an empty fraction', '1.'],
    ['an empty exponent', '1e'],
    ['hexadecimal', '0x10'],
    ['NaN', 'NaN'],
    ['Infinity', '-Infinity'],
    ['a number too large for a double', '1e999'],
    ['a number too small for a double', '-1e-999'],
    ['a number that is written out too far', `1${'0'.repeat(64)}`],
    ['a number with more digits than a double has', '3.9999999999999999999999'],
    ['a number between two doubles', '3.9999999999999999'],
    ['an integer between two doubles', '9007199254740993'],
    ['an unknown escape', String.raw`"\x41"`],
    ['a short unicode escape', String.raw`"\u004"`],
    ['a unicode escape with a sign', String.raw`"\u+041"`],
    ['a bare line end in a string', '"a\nb"'],
    ['a bare NUL in a string', '"\0"'],
    ['an unclosed string', '"abc'],
    ['a string that ends in its escape', '"abc\\'],
    ['a lone high surrogate', String.raw`"\ud800"`],
    ['a lone low surrogate', String.raw`"\udc00"`],
    ['surrogates in the wrong order', String.raw`"\ude00\ud83d"`],
    ['a lone surrogate in a name', String.raw`{"\ud800":1}`],
    ['an unclosed array', '[1'],
    ['an unclosed object', '{"a":1'],
    ['literals in capitals', 'TRUE'],
    ['a literal that goes on', 'nulll'],
  ];
  for (const [name, text] of malformed) {
    it(`refuses ${name}`, () => {
      assert.throws(() => parse(text), refused);
    });
  }

  it('refuses invalid UTF-8: stray, overlong, surrogate and truncated sequences', () => {
    for (const bytes of [
      [0x80],
      [0xc0, 0xaf],
      [0xed, 0xa0, 0x80],
      [0xe2, 0x82],
      [0xff],
      [0xf4, 0x90, 0x80, 0x80],
    ]) {
      const document = Uint8Array.from([0x22, ...bytes, 0x22]);
      assert.throws(() => parseStrictJson(document, BOUNDS), refused);
    }
  });

  it('keeps its bounds: the limit passes, one more does not', () => {
    const nested = (depth: number): Uint8Array => utf8('['.repeat(depth) + ']'.repeat(depth));
    assert.doesNotThrow(() => parseStrictJson(nested(3), { ...BOUNDS, maxBytes: 6, maxDepth: 3 }));
    assert.throws(() => parseStrictJson(nested(4), { ...BOUNDS, maxDepth: 3 }), /levels deep/);
    assert.throws(() => parseStrictJson(nested(3), { ...BOUNDS, maxBytes: 5, maxDepth: 3 }), /longer than/);
  });

  it('counts depth, not brackets', () => {
    assert.doesNotThrow(() => parseStrictJson(utf8('[[],[],{},[]]'), { ...BOUNDS, maxDepth: 2 }));
  });

  it('escapes what it quotes in its message', () => {
    assert.throws(
      () => parse('{"\\u001b[31m":1,"\\u001b[31m":2}'),
      (thrown: Error) => /^[\x20-\x7e]+$/.test(thrown.message),
    );
  });

  it('never crashes on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          parseStrictJson(bytes, BOUNDS);
        } catch (thrown) {
          assert.equal((thrown as { code?: unknown }).code, 'receipt_invalid');
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
