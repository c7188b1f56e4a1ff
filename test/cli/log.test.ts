import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import Database from 'better-sqlite3';

import { type Check } from '../../src/receipts/check.js';
import { Installation } from './command-line.js';

/** An installation that has run something, its keys in key.pem and its head in old. */
async function withLog(): Promise<Installation> {
  const installation = new Installation();
  await installation.ok(['run', '--', 'sh', '-c', 'echo hello']);
  const keep = async (name: string, args: readonly string[]): Promise<void> => {
    writeFileSync(join(installation.directory, name), await installation.ok(args));
  };
  await keep('key.pem', ['keys', 'show', '--pem']);
  await keep('old', ['log', 'checkpoint']);
  for (let run = 0; run < 3; run += 1) await installation.ok(['run', '--no-receipt', '--', 'true']);
  await keep('new', ['log', 'checkpoint', '--since', 'old']);
  return installation;
}

const outcomes = (checks: readonly Check[], code: Check['code']): string[] =>
  checks.filter((check) => check.code === code && check.outcome !== 'not_checked').map(({ name }) => name);

describe('glasshouse log', () => {
  it('proves that it continues an older checkpoint, with nothing but three files', async () => {
    using installation = await withLog();
    rmSync(installation.dataDirectory, { recursive: true });
    const verify = ['log', 'verify', '--key', 'key.pem'];
    assert.match(await installation.ok([...verify, 'old', 'new']), /^log: VALID\n/);
    assert.match(await installation.ok([...verify, 'receipt.json', 'new']), /passed +log_consistency/);
    const back = await installation.call([...verify, '--json', 'new', 'old']);
    assert.equal(back.code, 1);
    const { valid, checks } = JSON.parse(back.stdout) as { valid: boolean; checks: Check[] };
    assert.equal(valid, false);
    assert.deepEqual(outcomes(checks, 'log_truncated'), ['log_consistency']);
    const verified = await installation.ok([
      'verify',
      '--key',
      'key.pem',
      '--checkpoint',
      'new',
      'receipt.json',
    ]);
    assert.match(verified, /passed +log_inclusion[^]*passed +log_consistency/);
    assert.throws(() => readFileSync(join(installation.dataDirectory, 'glasshouse.db')), { code: 'ENOENT' });
  });

  it('holds what a receipt is about against files, and the receipt against its id', async () => {
    using installation = await withLog();
    const receipt = JSON.parse(readFileSync(installation.receiptFile, 'utf8')) as { receipt_id: string };
    const verify = ['verify', '--key', 'key.pem', '--id'];
    assert.match(
      await installation.ok([...verify, receipt.receipt_id, 'receipt.json']),
      /passed +expected_id/,
    );
    const other = await installation.call([...verify, 'f'.repeat(64), 'receipt.json']);
    assert.equal(other.code, 1);
    assert.match(other.stdout, /FAILED +expected_id .* \[receipt_id_mismatch\]/);
    writeFileSync(join(installation.directory, 'code.py'), 'print(1)');
    const code = await installation.call(['verify', '--key', 'key.pem', '--code', 'code.py', 'receipt.json']);
    assert.match(code.stdout, /FAILED +subject .* \[subject_mismatch\]/);
  });

  it('says what it is, and when nothing has been logged', async () => {
    using installation = await withLog();
    const shown = JSON.parse(await installation.ok(['log', 'show', '--json'])) as Record<string, unknown>;
    assert.equal(shown['size'], 4);
    const keys = readFileSync(join(installation.directory, 'key.pem'), 'utf8');
    assert.ok(keys.endsWith(`${String(shown['key'])}\n`));
    using empty = new Installation();
    mkdirSync(empty.dataDirectory, { mode: 0o700 });
    assert.match(await empty.ok(['log', 'show']), /^size +0$/m);
    const none = await empty.call(['log', 'checkpoint']);
    assert.deepEqual([none.code, none.stdout], [125, '']);
    assert.match(none.stderr, /\[not_found\]/);
  });

  it('is found out when a row is edited', async () => {
    using installation = await withLog();
    assert.match(await installation.ok(['log', 'audit']), /^log: VALID\n/);
    const database = new Database(join(installation.dataDirectory, 'glasshouse.db'));
    database.exec(
      "DROP TRIGGER receipts_are_not_updated; UPDATE receipts SET envelope = x'7b7d' WHERE sequence = 2",
    );
    database.close();
    const audited = await installation.call(['log', 'audit', '--json']);
    assert.equal(audited.code, 1);
    assert.deepEqual(outcomes((JSON.parse(audited.stdout) as { checks: Check[] }).checks, 'log_corrupt'), [
      'log_entry',
    ]);
  });

  it('goes on under the same key when receipts get another kind of key', async () => {
    using installation = await withLog();
    await installation.ok(['keys', 'rotate', '--algorithm', 'ecdsa-p256']);
    await installation.ok(['run', '--receipt', 'p256.json', '--', 'true']);
    assert.match(readFileSync(join(installation.directory, 'p256.json'), 'utf8'), /"algorithm":"ecdsa-p256"/);
    writeFileSync(join(installation.directory, 'both.pem'), await installation.ok(['keys', 'show', '--pem']));
    const keys = ['--key', 'both.pem', '--key', 'key.pem'];
    await installation.ok(['verify', ...keys, 'p256.json', 'receipt.json']);
    const old = await installation.call(['verify', '--key', 'both.pem', 'receipt.json']);
    assert.match(old.stdout, /\[key_untrusted\]/);
  });
});
