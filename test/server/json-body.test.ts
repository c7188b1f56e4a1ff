import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseJsonBody } from '../../src/server/json-body.js';
import { ProblemError } from '../../src/server/problem.js';

function refused(bytes: Uint8Array | string, pattern: RegExp): void {
  assert.throws(
    () => parseJsonBody(Buffer.from(bytes)),
    (error: unknown) => {
      assert.ok(error instanceof ProblemError);
      assert.equal(error.problem.status, 400);
      assert.match(error.message, pattern);
      return true;
    },
  );
}

describe('a JSON body', () => {
  it('is parsed as JSON.parse does', () => {
    const shallow = fc.jsonValue({ maxDepth: 5 });
    fc.assert(
      fc.property(shallow, fc.constantFrom(undefined, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        assert.deepEqual(parseJsonBody(Buffer.from(text)), JSON.parse(text));
      }),
    );
  });

  it('may have any brackets, commas, quotes and backslashes inside strings', () => {
    const value = { code: '[{,\\"'.repeat(50_000), other: '\\' };
    assert.deepEqual(parseJsonBody(Buffer.from(JSON.stringify(value))), value);
  });

  it('is refused when it is not JSON', () => {
    for (const text of [
      '',
      '{',
      '{"a":1}}',
      "{'a':1}",
      'NaN',
      '"\u0001"',
      '{"a":1,}',
      'undefined',
      '"unended',
    ])
      refused(text, /not valid JSON/u);
  });

  it('is refused when it is not UTF-8, or starts with a byte order mark', () => {
    refused(Buffer.from([0x22, 0xff, 0x22]), /UTF-8/u);
    refused(Buffer.from('{"code":"1"}', 'utf16le'), /JSON/u);
    refused('\ufeff{}', /JSON/u);
  });

  it('is refused when it is nested deeper than any request', () => {
    refused('['.repeat(1_000_000), /nested too deeply/u);
    refused('{"a":'.repeat(1_000_000), /nested too deeply/u);
  });

  it('is refused when it has more members than any request', () => {
    refused(`[${'[],'.repeat(1_000_000)}0]`, /too many members/u);
    refused(`[${'1,'.repeat(1_000_000)}0]`, /too many members/u);
  });

  it('keeps a member named __proto__ as a member', () => {
    const parsed = parseJsonBody(Buffer.from('{"__proto__": {"admin": true}}'));
    assert.ok(Object.hasOwn(parsed as object, '__proto__'));
    assert.equal(Object.getPrototypeOf(parsed), Object.prototype);
  });
});
