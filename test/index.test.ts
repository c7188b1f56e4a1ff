import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

// By its name, as a program that has the package installed does.
import * as glasshouse from 'glasshouse';

import { Installation, withOneByteChanged } from './cli/command-line.js';

describe('the package', () => {
  it('verifies a receipt, and refuses it after one byte was changed', async () => {
    using installation = new Installation();
    await installation.ok(['run', '--', 'sh', '-c', 'exit 0']);
    const pem = await installation.ok(['keys', 'show', '--pem']);
    const receipt = readFileSync(installation.receiptFile);
    const { receiptKeys: trustedKeys, logKeys } = glasshouse.parseTrustedKeys(pem);

    const report = await glasshouse.verifyReceipt(receipt, { trustedKeys, logKeys });
    assert.equal(report.valid, true);
    assert.equal(report.statement?.predicate.outcome.status, 'ok');

    assert.equal((await glasshouse.verifyLog(receipt, receipt, { logKeys })).valid, true);

    const changed = await glasshouse.verifyReceipt(withOneByteChanged(receipt), { trustedKeys, logKeys });
    assert.equal(changed.valid, false);
    assert.equal(changed.statement, null);
  });

  it('exports what it says and nothing else', () => {
    assert.deepEqual(Object.keys(glasshouse).sort(), [
      'BUNDLE_MEDIA_TYPE',
      'ERROR_CODES',
      'EXECUTION_STATUSES',
      'GlasshouseError',
      'KeyVerifier',
      'NoteVerifier',
      'PAYLOAD_TYPE',
      'PREDICATE_TYPE',
      'RECEIPT_BOUNDS',
      'REQUIRED_CHECKS',
      'STATEMENT_TYPE',
      'parseTrustedKeys',
      'verifyLog',
      'verifyReceipt',
    ]);
  });
});
