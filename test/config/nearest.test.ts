import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nearest } from '../../src/config/nearest.js';

describe('nearest', () => {
  it('finds the candidate with the fewest changes', () => {
    assert.equal(nearest('prot', ['host', 'port', 'path']), 'port');
    assert.equal(nearest('data-dir', ['image_dir', 'data_dir']), 'data_dir');
  });

  it('finds nothing when nothing is like it', () => {
    assert.equal(nearest('entirely_other', ['port', 'host']), null);
  });

  it('does not spend time on endless names', () => {
    assert.equal(nearest('a'.repeat(1_000_000), ['a']), null);
  });
});
