import assert from 'node:assert/strict';
import { chmodSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { openRedactionKey } from '../../src/redaction/redaction-key.js';
import { temporaryDirectory } from '../receipts/temporary-directory.js';

describe('openRedactionKey', () => {
  it('makes a key for its owner alone at first use, and gives the same one later', (t) => {
    const file = join(temporaryDirectory(t), 'keys', 'redaction-key');
    const key = openRedactionKey(file);
    assert.equal(key.length, 32);
    assert.deepEqual(openRedactionKey(file), key);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(join(file, '..')), ['redaction-key']);
    assert.notDeepEqual(openRedactionKey(join(temporaryDirectory(t), 'redaction-key')), key);
  });

  it('refuses a key that others can access, and what is no key', (t) => {
    const file = join(temporaryDirectory(t), 'redaction-key');
    writeFileSync(file, 'x', { mode: 0o600 });
    assert.throws(() => openRedactionKey(file), { code: 'key_invalid' });
    chmodSync(file, 0o640);
    assert.throws(() => openRedactionKey(file), { code: 'key_unsafe' });
  });
});
