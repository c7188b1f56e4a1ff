import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { cleanEnvironment, Installation, MAIN, withOneByteChanged } from './command-line.js';

const ESCAPE = '\u001b';

interface Verified {
  readonly file: string;
  readonly valid: boolean;
  readonly receipt_id: string;
  readonly checks: readonly { readonly name: string; readonly outcome: string }[];
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** An installation with one receipt in receipt.json. */
async function withReceipt(): Promise<Installation> {
  const installation = new Installation();
  await installation.ok(['run', '--', 'sh', '-c', 'echo evidence']);
  return installation;
}

describe('glasshouse verify', () => {
  it('accepts a receipt, by path and from stdin', async () => {
    using installation = await withReceipt();
    const byPath = await installation.call(['verify', 'receipt.json']);
    assert.deepEqual([byPath.code, byPath.stderr], [0, '']);
    assert.match(byPath.stdout, /^receipt\.json: VALID\n {2}receipt [0-9a-f]{64}\n/);
    const stdin = readFileSync(installation.receiptFile);
    assert.equal((await installation.call(['verify', '-'], { stdin })).code, 0);
  });

  it('refuses it after one byte was changed', async () => {
    using installation = await withReceipt();
    writeFileSync(
      join(installation.directory, 'changed.json'),
      withOneByteChanged(readFileSync(installation.receiptFile)),
    );
    const result = await installation.call(['verify', 'changed.json']);
    assert.equal(result.code, 1);
    assert.match(result.stdout, /^changed\.json: NOT VALID$/m);
    assert.match(result.stdout, /^ {2}FAILED {6}/m);
  });

  it("refuses it with another installation's key", async () => {
    using installation = await withReceipt();
    using other = new Installation();
    const key = join(installation.directory, 'other.pem');
    writeFileSync(key, await other.ok(['keys', 'show', '--pem']));
    assert.equal((await installation.call(['verify', '--key', key, 'receipt.json'])).code, 1);
    assert.equal((await other.call(['verify', installation.receiptFile])).code, 1);
  });

  it('holds files against it', async () => {
    using installation = await withReceipt();
    writeFileSync(join(installation.directory, 'same'), 'evidence\n');
    writeFileSync(join(installation.directory, 'other'), 'evidence');
    assert.equal((await installation.call(['verify', '--stdout', 'same', 'receipt.json'])).code, 0);
    assert.equal((await installation.call(['verify', '--stdout', 'other', 'receipt.json'])).code, 1);
  });

  it('checks several files and says which one is not valid, for programs too', async () => {
    using installation = await withReceipt();
    writeFileSync(join(installation.directory, 'text.json'), 'no receipt');
    const result = await installation.call(['verify', '--json', 'receipt.json', 'text.json']);
    assert.equal(result.code, 1);
    const reports = JSON.parse(result.stdout) as Verified[];
    assert.deepEqual(
      reports.map(({ file, valid }) => [file, valid]),
      [
        ['receipt.json', true],
        ['text.json', false],
      ],
    );
  });

  it('goes on after a file that cannot be read, and names it', async () => {
    using installation = await withReceipt();
    writeFileSync(join(installation.directory, 'text.json'), 'no receipt');
    const good = await installation.call(['verify', 'absent.json', '.', 'receipt.json']);
    assert.equal(good.code, 125);
    assert.match(good.stdout, /^receipt\.json: VALID$/m);
    assert.match(
      good.stderr,
      /^glasshouse: absent\.json cannot be read: .*\[not_found\]\nglasshouse: \. cannot be read: /,
    );
    const bad = await installation.call(['verify', '--json', 'absent.json', 'text.json', 'receipt.json']);
    assert.equal(bad.code, 1, 'one that is not valid says more');
    assert.deepEqual(
      (JSON.parse(bad.stdout) as Verified[]).map(({ file, valid, error }) => [
        file,
        valid,
        error?.code ?? null,
      ]),
      [
        ['absent.json', false, 'not_found'],
        ['text.json', false, null],
        ['receipt.json', true, null],
      ],
    );
  });

  it('says of a file without an end that it is no receipt, and reads no more of it than it must', async () => {
    using installation = await withReceipt();
    const endless = await installation.call(['verify', '/dev/zero', 'receipt.json']);
    assert.equal(endless.code, 1);
    assert.match(endless.stdout, /^\/dev\/zero: NOT VALID\n {2}FAILED {7}format .*\[receipt_invalid\]$/m);
    assert.match(endless.stdout, /^receipt\.json: VALID$/m);
  });

  it('fails with 125 for a file that cannot be read', async () => {
    using installation = await withReceipt();
    const result = await installation.call(['verify', 'absent.json']);
    assert.deepEqual([result.code, result.stdout], [125, '']);
    assert.match(result.stderr, /^glasshouse: absent\.json cannot be read: .*\n$/);
  });
});

describe('glasshouse receipts', () => {
  it('lists the newest first, in columns', async () => {
    using installation = await withReceipt();
    await installation.call(['run', '--no-receipt', '--', 'sh', '-c', 'kill -KILL $$']);
    const lines = (await installation.ok(['receipts', 'list'])).trimEnd().split('\n');
    assert.equal(lines.length, 3);
    const [heading = '', ...rows] = lines;
    for (const name of ['RECEIPT', 'STARTED', 'STATUS', 'EXIT', 'KIND', 'BACKEND']) {
      const column = heading.indexOf(name);
      for (const row of rows) assert.match(row.slice(Math.max(0, column - 1)), column === 0 ? /^\S/ : /^ \S/);
    }
    assert.match(rows[0] ?? '', /error +SIGKILL +command +process \(none\)$/);
    assert.ok(
      lines.every((line) => line.length <= 80),
      'a line fits into a terminal',
    );
    const one = JSON.parse(await installation.ok(['receipts', 'list', '--limit', '1', '--json'])) as object[];
    assert.equal(one.length, 1);
  });

  it('lists what was run with --wide: quoted, escaped, cut, and without its secrets', async () => {
    using installation = new Installation();
    const commands = [
      ['true', 'two words', "it's", `${ESCAPE}[2J\u202e`],
      ['true', '--token', 'planted-Word-3'],
      ['true', 'x'.repeat(100_000)],
      ['true', '\u{1f600}'.repeat(60)],
      ['true', ...Array.from({ length: 1_000 }, () => '')],
    ];
    for (const command of commands) await installation.ok(['run', '--no-receipt', '--', ...command]);
    const [heading = '', ...rows] = (await installation.ok(['receipts', 'list', '--wide']))
      .trimEnd()
      .split('\n');
    const shown = rows.map((row) => row.slice(heading.indexOf('COMMAND'))).reverse();
    assert.equal(shown[0], String.raw`true 'two words' 'it'\''s' '\u{1b}[2J\u{202e}'`);
    assert.match(shown[1] ?? '', /^true --token \[redacted:[0-9a-f]{20,}\.\.\.$/);
    assert.equal(shown[2], `true ${'x'.repeat(40)}...`);
    assert.equal(shown[3], `true '${'\u{1f600}'.repeat(39)}...`);
    assert.equal(shown[4], `true${" ''".repeat(13)} '...`);
    for (const command of shown) assert.ok(Array.from(command).length <= 48, command);
  });

  it('shows and exports one by its id, the beginning of its id, or as the latest', async () => {
    using installation = await withReceipt();
    const bundle = readFileSync(installation.receiptFile, 'utf8');
    const { receipt_id: id } = JSON.parse(bundle) as { receipt_id: string };
    for (const name of [[], ['latest'], [id], [id.slice(0, 8)]]) {
      assert.equal(await installation.ok(['receipts', 'export', ...name]), bundle);
      assert.match(await installation.ok(['receipts', 'show', ...name]), new RegExp(`^receipt ${id}$`, 'm'));
    }
    for (const name of ['f'.repeat(64), 'zz']) {
      assert.equal((await installation.call(['receipts', 'show', name])).code, 125);
    }
  });

  it('prints what a command brings along with its control characters escaped', async () => {
    using installation = new Installation();
    const hostile = `${ESCAPE}]0;title\u0007${ESCAPE}[2J\r\n`;
    await installation.ok(['run', '--', 'true', hostile]);
    const shown = await installation.ok(['receipts', 'show']);
    assert.ok(shown.includes('title'));
    // eslint-disable-next-line no-control-regex -- control characters are what must not be there
    assert.doesNotMatch(shown, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    const name = join(installation.directory, `${ESCAPE}[31mred`);
    writeFileSync(name, '{}');
    const verified = await installation.call(['verify', name]);
    assert.ok(!verified.stdout.includes(ESCAPE));
    const missing = await installation.call(['run', '--', `${ESCAPE}[31mred`]);
    assert.ok(!missing.stderr.includes(ESCAPE));
  });
});

describe('glasshouse keys', () => {
  it('rotates the key; receipts of before and after verify', async () => {
    using installation = await withReceipt();
    const before = await installation.ok(['keys', 'show', '--pem']);
    assert.match(
      before,
      /^-----BEGIN PUBLIC KEY-----\n[^]*-----END PUBLIC KEY-----\nglasshouse-log\/[0-9a-f]{32}\+.*\n$/,
    );
    await installation.ok(['keys', 'rotate', '--json']);
    assert.notEqual(await installation.ok(['keys', 'show', '--pem']), before);
    const keys = JSON.parse(await installation.ok(['keys', 'show', '--json'])) as {
      receipts: { current: boolean }[];
    };
    assert.deepEqual(keys.receipts.map(({ current }) => current).sort(), [false, true]);
    await installation.ok(['run', '--receipt', 'new.json', '--', 'true']);
    assert.equal((await installation.call(['verify', 'receipt.json', 'new.json'])).code, 0);
    writeFileSync(join(installation.directory, 'old.pem'), before);
    assert.equal((await installation.call(['verify', '--key', 'old.pem', 'new.json'])).code, 1);
  });
});

describe('colour', () => {
  const hasScript = spawnSync('script', ['--version']).status === 0;
  const skip = hasScript ? false : 'script(1) of util-linux is not installed';

  /** `glasshouse keys show` on a terminal of its own. */
  function onTerminal(installation: Installation, environment: Readonly<Record<string, string>>): string {
    const command = `'${process.execPath}' '${MAIN}' keys show`;
    const result = spawnSync('script', ['-qec', command, '/dev/null'], {
      env: {
        ...cleanEnvironment(),
        TERM: 'xterm',
        ...environment,
        GLASSHOUSE_DATA_DIR: installation.dataDirectory,
      },
      encoding: 'utf8',
    });
    assert.equal(result.status, 0);
    return result.stdout;
  }

  it('is not used where nobody looks', async () => {
    using installation = await withReceipt();
    for (const args of [
      ['keys', 'show'],
      ['receipts', 'show'],
      ['verify', 'receipt.json'],
    ]) {
      assert.ok(!(await installation.ok(args)).includes(ESCAPE));
    }
  });

  it('is used on a terminal', { skip }, () => {
    using installation = new Installation();
    assert.ok(onTerminal(installation, {}).includes(`${ESCAPE}[1m`));
  });

  it('is not used with NO_COLOR or on a terminal that has none', { skip }, () => {
    using installation = new Installation();
    assert.ok(!onTerminal(installation, { NO_COLOR: '1' }).includes(ESCAPE));
    assert.ok(!onTerminal(installation, { TERM: 'dumb' }).includes(ESCAPE));
  });
});
