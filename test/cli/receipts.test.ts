import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { Installation } from './command-line.js';

/** Three receipts: `first` is ok, `second` fails, `third` has a secret. */
async function withReceipts(): Promise<Installation> {
  const installation = new Installation();
  await installation.ok(['run', '--', 'echo', 'first']);
  await installation.call(['run', '--', 'sh', '-c', 'echo second; exit 3']);
  await installation.ok(
    ['run', '--record-env', 'LOGIN_*', '--', 'echo', 'third', '--token', 'planted-Word-1'],
    {
      environment: { LOGIN_SECRET: 'planted-Word-2' },
    },
  );
  return installation;
}

async function argvs(installation: Installation, ...args: string[]): Promise<string[]> {
  const lines = await installation.ok(['receipts', 'export', '--format', 'statement', ...args]);
  return lines
    .trimEnd()
    .split('\n')
    .map((line) =>
      (JSON.parse(line) as { predicate: { request: { argv: string[] } } }).predicate.request.argv.join(' '),
    );
}

describe('glasshouse receipts', () => {
  it('lists and streams what a filter takes', async () => {
    using installation = await withReceipts();
    const ids = async (...args: string[]): Promise<number> =>
      (JSON.parse(await installation.ok(['receipts', 'list', '--json', ...args])) as object[]).length;
    assert.equal(await ids('--status', 'error'), 1);
    assert.equal(await ids('--status', 'ok,error', '--backend', 'process', '--since', '1h'), 3);
    assert.equal(await ids('--text', 'THIRD echo'), 1);
    assert.equal(await ids('--backend', 'qemu'), 0);
    assert.equal(await ids('--until', '2020-01-01'), 0);
    assert.equal(await ids('--limit', '2', '--before', 'latest'), 2);
    const [first, second] = await argvs(installation, '--since', '1d');
    assert.deepEqual([first, second], ['echo first', 'sh -c echo second; exit 3']);
    assert.deepEqual(await argvs(installation, '--text', 'first'), ['echo first']);
  });

  it('streams bundles that verify one by one', async () => {
    using installation = await withReceipts();
    const lines = (await installation.ok(['receipts', 'export', '--since', '1d'])).trimEnd().split('\n');
    assert.equal(lines.length, 3);
    for (const line of lines)
      assert.equal((await installation.call(['verify', '-'], { stdin: line })).code, 0);
  });

  it('says what one run did that the other did not', async () => {
    using installation = await withReceipts();
    const [, failed, ok] = JSON.parse(await installation.ok(['receipts', 'list', '--json'])) as {
      receipt_id: string;
    }[];
    const args = ['receipts', 'diff', ok?.receipt_id ?? '', (failed?.receipt_id ?? '').slice(0, 12)];
    const text = await installation.ok(args);
    assert.match(text, /^outcome\n {2}- exit_code 0\n {2}\+ exit_code 3$/m);
    const { differences } = JSON.parse(await installation.ok([...args, '--json'])) as {
      differences: { name: string; a: unknown; b: unknown }[];
    };
    assert.deepEqual(
      differences.find(({ name }) => name === 'status'),
      {
        section: 'outcome',
        name: 'status',
        a: 'ok',
        b: 'error',
        only: null,
      },
    );
  });

  it('drops outputs and keeps receipts', async () => {
    using installation = await withReceipts();
    const prune = ['receipts', 'prune', '--max-bytes', '29', '--json'];
    const dropped = { receipts: 2, bytes: 13 };
    assert.deepEqual(JSON.parse(await installation.ok([...prune, '--dry-run'])), {
      ...dropped,
      dry_run: true,
    });
    assert.deepEqual(JSON.parse(await installation.ok(prune)), { ...dropped, dry_run: false });
    assert.deepEqual(JSON.parse(await installation.ok(prune)), { receipts: 0, bytes: 0, dry_run: false });
    assert.equal((await argvs(installation, '--since', '1d')).length, 3);
    assert.equal((await installation.call(['receipts', 'prune'])).code, 2);
  });

  it('never shows or stores a secret of the command line or the environment', async () => {
    using installation = await withReceipts();
    const shown = await installation.ok(['receipts', 'show']);
    assert.match(shown, /--token \[redacted:[0-9a-f]{32}\]/);
    assert.match(shown, /LOGIN_SECRET=\[redacted:[0-9a-f]{32}\]/);
    const { envelope } = JSON.parse(readFileSync(installation.receiptFile, 'utf8')) as {
      envelope: { payload: string };
    };
    const payload = Buffer.from(envelope.payload, 'base64').toString();
    for (const text of [shown, payload, await installation.ok(['receipts', 'show', '--json'])])
      assert.ok(!text.includes('planted-Word'));
    assert.equal(statSync(join(installation.dataDirectory, 'keys/redaction-key')).mode & 0o777, 0o600);
  });

  it('refuses what is no filter', async () => {
    using installation = new Installation();
    for (const args of [
      ['list', '--status', 'great'],
      ['list', '--since', 'yesterday'],
      ['list', '--code-hash', 'abc'],
      ['list', '--limit', '0'],
      ['list', '--text', '***'],
      ['export', 'latest', '--since', '1d'],
      ['prune', '--max-bytes', 'all'],
      ['prune', '--max-age', '1'],
    ])
      assert.equal((await installation.call(['receipts', ...args])).code, 2, args.join(' '));
  });
});
