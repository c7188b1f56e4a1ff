import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dottedField, dottedMember } from '../../src/server/field-name.js';

describe('the name of a field', () => {
  it('is dotted, with indexes in brackets', () => {
    assert.equal(dottedField('/files/0/path'), 'files[0].path');
    assert.equal(dottedField('limits/memory_mb'), 'limits.memory_mb');
    assert.equal(dottedField('/code'), 'code');
    assert.equal(dottedMember('/files/10', 'mode'), 'files[10].mode');
    assert.equal(dottedMember('', 'mode'), 'mode');
  });

  it('is unescaped as RFC 6901 says', () => {
    assert.equal(dottedField('/env/a~1b~0c~01'), 'env.a/b~c~1');
  });

  it('is short, however long the name that a client made up', () => {
    assert.ok(dottedMember('', 'x'.repeat(10_000)).length < 300);
  });
});
