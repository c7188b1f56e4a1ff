import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { envelopeToJson, parseEnvelope, preAuthenticationEncoding } from '../../src/receipts/dsse.js';
import { type JsonValue } from '../../src/receipts/json-value.js';
import { utf8 } from './sample.js';

const refused = { name: 'GlasshouseError', code: 'receipt_invalid' };

describe('preAuthenticationEncoding', () => {
  const TYPE = 'http://example.com/HelloWorld';

  it('is the published test vector of the DSSE protocol', () => {
    const encoded = preAuthenticationEncoding(TYPE, utf8('hello world'));
    assert.equal(Buffer.from(encoded).toString(), 'DSSEv1 29 http://example.com/HelloWorld 11 hello world');
  });

  it('is what the signature published with that vector was made over (ECDSA, P-256)', () => {
    const coordinate = (decimal: string): string =>
      Buffer.from(BigInt(decimal).toString(16).padStart(64, '0'), 'hex').toString('base64url');
    const key = createPublicKey({
      format: 'jwk',
      key: {
        kty: 'EC',
        crv: 'P-256',
        x: coordinate('46950820868899156662930047687818585632848591499744589407958293238635476079160'),
        y: coordinate('5640078356564379163099075877009565129882514886557779369047442380624545832820'),
      },
    });
    const signature = Buffer.from(
      'A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==',
      'base64',
    );
    const encoded = preAuthenticationEncoding(TYPE, utf8('hello world'));
    assert.equal(verify('sha256', encoded, { key, dsaEncoding: 'ieee-p1363' }, signature), true);
  });

  it('counts bytes, not characters, and takes any bytes', () => {
    const encoded = preAuthenticationEncoding('é', Uint8Array.of(0, 0xff, 0x0a));
    assert.deepEqual(
      Buffer.from(encoded),
      Buffer.concat([Buffer.from('DSSEv1 2 é 3 '), Buffer.of(0, 0xff, 0x0a)]),
    );
  });

  it('never encodes two different pairs alike', () => {
    const ambiguous = fc
      .array(fc.constantFrom('1', '2', ' ', 'a'), { maxLength: 6 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(ambiguous, ambiguous, ambiguous, ambiguous, (typeA, payloadA, typeB, payloadB) => {
        fc.pre(typeA !== typeB || payloadA !== payloadB);
        const a = preAuthenticationEncoding(typeA, utf8(payloadA));
        const b = preAuthenticationEncoding(typeB, utf8(payloadB));
        assert.notDeepEqual(a, b);
      }),
    );
  });
});

describe('envelope', () => {
  const signature = { keyid: 'k', sig: 'AAAA' };
  const valid = { payload: 'aGVsbG8=', payloadType: 't', signatures: [signature] };

  it('is parsed into bytes, and encoded back', () => {
    const envelope = parseEnvelope(valid);
    assert.equal(envelope.payloadType, 't');
    assert.deepEqual(Buffer.from(envelope.payload), Buffer.from('hello'));
    assert.deepEqual(envelope.signatures, [{ keyid: 'k', sig: Uint8Array.of(0, 0, 0) }]);
    assert.deepEqual(envelopeToJson(envelope), valid);
  });

  const malformed: Record<string, JsonValue> = {
    'no object': [],
    null: null,
    'a missing payload': { payloadType: 't', signatures: [signature] },
    'a missing type': { payload: '', signatures: [signature] },
    'missing signatures': { payload: '', payloadType: 't' },
    'no signature': { ...valid, signatures: [] },
    'an unknown field': { ...valid, extra: 1 },
    'an unknown field in a signature': { ...valid, signatures: [{ ...signature, cert: '' }] },
    'a signature without a key id': { ...valid, signatures: [{ sig: 'AAAA' }] },
    'two signatures of one key': { ...valid, signatures: [signature, { keyid: 'k', sig: 'BBBB' }] },
    'nine signatures': {
      ...valid,
      signatures: Array.from({ length: 9 }, (_, index) => ({ keyid: String(index), sig: 'AAAA' })),
    },
    'a payload in the URL alphabet': { ...valid, payload: '-_8=' },
    'a payload without padding': { ...valid, payload: 'aGVsbG8' },
    'a payload with unused bits set': { ...valid, payload: 'aGVsbG9=' },
    'a signature that is not base64': { ...valid, signatures: [{ keyid: 'k', sig: 'A' }] },
    'a number as type': { ...valid, payloadType: 1 },
  };
  for (const [name, value] of Object.entries(malformed)) {
    it(`with ${name} is refused`, () => {
      assert.throws(() => parseEnvelope(value), refused);
    });
  }
});
