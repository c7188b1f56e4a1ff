import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { canonicalBytes, canonicalize } from '../../src/receipts/canonical-json.js';
import { type JsonValue } from '../../src/receipts/json-value.js';
import { parseStrictJson } from '../../src/receipts/strict-json.js';

const refused = { name: 'GlasshouseError', code: 'receipt_invalid' };

interface NumberSamples {
  readonly samples: readonly (readonly [string, string])[];
  readonly refused: readonly string[];
}
const numbers = JSON.parse(
  readFileSync('test/fixtures/receipts/rfc8785-numbers.json', 'utf8'),
) as NumberSamples;

function doubleOf(bits: string): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(`0x${bits}`));
  return view.getFloat64(0);
}

/** JSON as fast-check makes it, without what canonicalize refuses by design. */
const jsonValue = (): fc.Arbitrary<JsonValue> =>
  fc.jsonValue({ stringUnit: 'binary' }).filter(isInOurRange) as fc.Arbitrary<JsonValue>;

function isInOurRange(value: unknown): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value) || !Number.isInteger(value);
  if (typeof value !== 'object' || value === null) return true;
  return Object.values(value).every(isInOurRange);
}

describe('canonicalize: vectors of RFC 8785', () => {
  it('section 3.2.2: literals, numbers and strings', () => {
    const input = String.raw`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`;
    const expected =
      '{"literals":[null,true,false],' +
      '"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
      String.raw`"string":"€$\u000f\nA'B\"\\\\\"/"}`;
    assert.equal(canonicalize(JSON.parse(input) as JsonValue, 'any'), expected);
  });

  it('section 3.2.3: members sorted by UTF-16 code units', () => {
    const input = String.raw`{
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis"
    }`;
    // A JavaScript object would give the member "1" first, whatever the order of the text.
    const values = Object.values(
      JSON.parse(canonicalize(JSON.parse(input) as JsonValue).replace('"1":', '"one":')) as Record<
        string,
        string
      >,
    );
    assert.deepEqual(values, [
      'Carriage Return',
      'One',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ]);
  });

  it('section 3.2.4: the bytes are UTF-8', () => {
    assert.equal(Buffer.from(canonicalBytes({ '€': 'ö' })).toString('hex'), '7b22e282ac223a22c3b6227d');
  });

  for (const [bits, text] of numbers.samples) {
    it(`appendix B: ${bits} is ${text}`, () => {
      assert.equal(canonicalize(doubleOf(bits), 'any'), text);
    });
  }

  for (const bits of numbers.refused) {
    it(`appendix B: ${bits} is refused`, () => {
      assert.throws(() => canonicalize(doubleOf(bits), 'any'), refused);
    });
  }
});

describe('canonicalize: what it refuses', () => {
  it('integers beyond 2^53, unless told otherwise', () => {
    assert.equal(canonicalize([2 ** 53 - 1, -(2 ** 53) + 1]), '[9007199254740991,-9007199254740991]');
    assert.throws(() => canonicalize(2 ** 53), refused);
    assert.throws(() => canonicalize({ a: [-(2 ** 53)] }), refused);
    assert.throws(() => canonicalize(1e30), refused);
  });

  it('lone surrogates, in values and in names', () => {
    for (const text of ['\ud800', 'a\udc00', '\ude00\ud83d']) {
      assert.throws(() => canonicalize(text), refused);
      assert.throws(() => canonicalize({ [text]: 1 }), refused);
    }
    assert.equal(canonicalize('\ud83d\ude00'), '"😀"');
  });

  const notJson: readonly (readonly [string, unknown])[] = [
    ['NaN', NaN],
    ['infinity', -Infinity],
    ['undefined', undefined],
    ['undefined in an object', { a: undefined }],
    ['a hole in an array', new Array(1)],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a bigint', 1n],
    ['a Date', new Date(0)],
    ['a Map', new Map()],
    ['bytes', new Uint8Array(1)],
  ];
  for (const [name, value] of notJson) {
    it(name, () => {
      assert.throws(() => canonicalize(value as JsonValue), refused);
      assert.throws(() => canonicalize([value as JsonValue]), refused);
    });
  }

  it('a structure that contains itself', () => {
    const cycle: JsonValue[] = [];
    cycle.push(cycle);
    assert.throws(() => canonicalize(cycle), refused);
  });
});

describe('canonicalize: properties', () => {
  it('is idempotent through a parser', () => {
    fc.assert(
      fc.property(jsonValue(), (value) => {
        const once = canonicalize(value);
        const parsed = parseStrictJson(new TextEncoder().encode(once), {
          maxBytes: 1e6,
          maxDepth: 64,
          maxContainers: 10_000,
        });
        assert.equal(canonicalize(parsed), once);
      }),
    );
  });

  it('does not depend on the order of members', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), jsonValue()), (object) => {
        const reversed = Object.fromEntries(Object.entries(object).reverse());
        assert.equal(canonicalize(reversed), canonicalize(object));
      }),
    );
  });

  it('keeps every value', () => {
    fc.assert(
      fc.property(jsonValue(), (value) => {
        // JSON.stringify writes -0 as 0, as RFC 8785 does.
        assert.deepEqual(JSON.parse(canonicalize(value)), JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('is JSON.stringify for values without members to sort', () => {
    const scalar = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.maxSafeInteger(),
      fc.boolean(),
      fc.constant(null),
    );
    fc.assert(
      fc.property(fc.oneof(scalar, fc.array(scalar)), (value) => {
        assert.equal(canonicalize(value), JSON.stringify(value));
      }),
    );
  });
});
