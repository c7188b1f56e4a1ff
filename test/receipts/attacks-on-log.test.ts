/** Attacks on the place in the log, and on the log: each must fail verification, and for the right reason. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { generatePrivateKeyPem } from '../../src/receipts/crypto.js';
import { NoteSigner } from '../../src/receipts/signed-note.js';
import { verifyLog } from '../../src/receipts/verify-log.js';
import { verifyReceipt } from '../../src/receipts/verify.js';
import { assertLogRefused, assertRefused, logTrust, trusted, withProof } from './attacks-support.js';
import { LOG_SIGNER, MemoryLog, sampleProof } from './sample-log.js';
import { sampleBundle, sampleReceipt, utf8 } from './sample.js';

describe('attacks on the place in the log', () => {
  it('the proof of another entry', async () => {
    const log = new MemoryLog().fill(2);
    const { receipt } = await sampleReceipt();
    const index = log.add(receipt.envelopeBytes);
    log.fill(2);
    const right = log.prove(index);
    assert.equal((await verifyReceipt(await withProof(right), trusted)).valid, true);
    await assertRefused(await withProof(log.prove(1)), ['log_entry_mismatch']);
    await assertRefused(await withProof({ ...right, proof: log.prove(1).proof }), ['log_inclusion_invalid']);
    const moved = { ...right.entry, index: 1 };
    await assertRefused(await withProof({ ...right, entry: moved }), ['log_inclusion_invalid']);
    await assertRefused(await withProof({ ...right, entry: { ...right.entry, index: 9 } }), [
      'log_inclusion_invalid',
    ]);
  });

  it('an entry that was never logged, under a head that was', async () => {
    const { receipt } = await sampleReceipt();
    const forger = new MemoryLog().fill(2);
    const claimed = forger.prove(forger.add(receipt.envelopeBytes));
    const honest = new MemoryLog().fill(3).checkpoint();
    await assertRefused(await withProof({ ...claimed, checkpoint: honest }), ['log_inclusion_invalid']);
  });

  it('a head signed by another log, under its own name and under that of the trusted one', async () => {
    const stranger = new NoteSigner(generatePrivateKeyPem(), () => 'glasshouse-log/stranger');
    const impostor = new NoteSigner(generatePrivateKeyPem(), () => LOG_SIGNER.name);
    for (const signer of [stranger, impostor]) {
      const log = new MemoryLog(signer);
      const { receipt } = await sampleReceipt();
      await assertRefused(await withProof(log.prove(log.add(receipt.envelopeBytes))), ['log_untrusted']);
    }
    const right = sampleProof((await sampleReceipt()).receipt.envelopeBytes);
    const edited = { ...right, checkpoint: right.checkpoint.replace('\n5\n', '\n6\n') };
    await assertRefused(await withProof(edited), ['signature_invalid']);
    await assertRefused(await withProof({ ...right, checkpoint: 'nothing' }), ['checkpoint_invalid']);
  });

  it('a clock that was set back: logged before it ended', async () => {
    const { receipt, statement } = await sampleReceipt();
    const log = new MemoryLog();
    const early = new Date(Date.parse(statement.predicate.finished_at) - 1).toISOString();
    await assertRefused(await withProof(log.prove(log.add(receipt.envelopeBytes, early))), [
      'log_time_reversed',
    ]);
  });

  it('a log that somebody made up, for a verifier without its key: nothing it says passes', async () => {
    const { receipt } = await sampleReceipt();
    const made = new MemoryLog(new NoteSigner(generatePrivateKeyPem(), () => LOG_SIGNER.name)).fill(7);
    const forged = await withProof(made.prove(made.add(receipt.envelopeBytes, '2099-01-01T00:00:00.000Z')));
    const { checks } = await verifyReceipt(forged, { trustedKeys: trusted.trustedKeys });
    const passed = checks.filter(({ name, outcome }) => name.startsWith('log_') && outcome === 'passed');
    assert.deepEqual(passed, []);
    // What contradicts itself fails all the same.
    const other = await withProof(made.prove(1));
    await assertRefused(other, ['log_entry_mismatch'], { trustedKeys: trusted.trustedKeys });
  });

  it('what is behind a head that does not hold is not reached', async () => {
    const right = sampleProof((await sampleReceipt()).receipt.envelopeBytes);
    const edited = await withProof({ ...right, checkpoint: right.checkpoint.replace('\n5\n', '\n6\n') });
    const checkpoint = utf8(new MemoryLog().fill(9).checkpoint());
    const { checks } = await verifyReceipt(edited, { ...trusted, checkpoint });
    for (const name of ['log_inclusion', 'log_consistency'])
      assert.equal(checks.find((check) => check.name === name)?.outcome, 'not_checked');
  });

  it('a checkpoint that is older than the receipt shows nothing, and accuses nobody', async () => {
    const { receipt } = await sampleReceipt();
    const log = new MemoryLog().fill(4);
    const old = utf8(log.checkpoint());
    const bundle = await withProof(log.prove(log.add(receipt.envelopeBytes)));
    await assertRefused(bundle, ['log_proof_missing'], { ...trusted, checkpoint: old });
    assert.equal(
      (await verifyReceipt(bundle, { ...trusted, checkpoint: utf8(log.checkpoint()) })).valid,
      true,
    );
    // A receipt file has a checkpoint, too, also where white space stands before it.
    const spaced = utf8(`\n ${Buffer.from(bundle).toString()}`);
    assert.equal((await verifyReceipt(bundle, { ...trusted, checkpoint: spaced })).valid, true);
  });

  it('a proof that was taken away, when a checkpoint demands one', async () => {
    const { receipt } = await sampleReceipt();
    const checkpoint = utf8(new MemoryLog().fill(9).checkpoint());
    await assertRefused(receipt.envelopeBytes, ['log_proof_missing'], { ...trusted, checkpoint });
  });
});

describe('attacks on the log', () => {
  it('a truncated log', async () => {
    const log = new MemoryLog().fill(10);
    await assertLogRefused(log.checkpoint(10), log.checkpoint(7), 'log_truncated');
  });

  it('a rolled-back database that went on in another way', async () => {
    const witnessed = new MemoryLog().fill(10).checkpoint();
    const other = new MemoryLog().fill(7).fill(8, 'after the roll-back');
    await assertLogRefused(witnessed, other.update(10), 'log_rewritten');
    await assertLogRefused(witnessed, other.checkpoint(), 'log_proof_missing');
    await assertLogRefused(witnessed, other.update(9), 'log_proof_missing');
  });

  it('a fork: two heads of one size', async () => {
    const one = new MemoryLog().fill(5).fill(3, 'one');
    const other = new MemoryLog().fill(5).fill(3, 'other');
    await assertLogRefused(one.checkpoint(), other.checkpoint(), 'log_forked');
    const { receipt } = await sampleReceipt();
    const mine = new MemoryLog().fill(5);
    const bundle = await withProof(mine.prove(mine.add(receipt.envelopeBytes)));
    const theirs = new MemoryLog().fill(6, 'theirs');
    await assertRefused(bundle, ['log_forked'], { ...trusted, checkpoint: utf8(theirs.checkpoint()) });
  });

  it('a head of another log in the place of the newer one', async () => {
    const other = new MemoryLog(new NoteSigner(generatePrivateKeyPem(), () => 'glasshouse-log/other')).fill(
      9,
    );
    const log = new MemoryLog().fill(5);
    await assertLogRefused(log.checkpoint(), other.update(5), 'log_untrusted');
  });

  it('with nothing changed is not refused: the harness of these attacks works', async () => {
    const log = new MemoryLog().fill(10);
    for (const size of [0, 1, 7, 10])
      assert.equal(
        (await verifyLog(utf8(log.checkpoint(size)), utf8(log.update(size)), logTrust)).valid,
        true,
      );
    const bundle = await sampleBundle();
    assert.equal((await verifyLog(bundle, bundle, logTrust)).valid, true);
  });
});
