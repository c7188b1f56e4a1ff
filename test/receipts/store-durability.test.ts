/** What reaches the disk before somebody is told so, as strace sees it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { findProgram } from '../../src/base/find-program.js';
import { CHILD } from './run-child.js';
import { temporaryDirectory } from './temporary-directory.js';

const RECEIPTS = 3;
const STRACE = findProgram('strace') ?? '';
const skip = STRACE === '' ? 'strace is not installed' : false;

/** `w`: something was written to the write-ahead log; `s`: it was synced; `a`: a receipt was answered. */
function deeds(log: string): string {
  return log
    .split('\n')
    .map((line) => {
      if (/ pwrite64\(\d+<[^>]*-wal>/.test(line)) return 'w';
      if (/ (fsync|fdatasync)\(\d+<[^>]*-wal>/.test(line)) return 's';
      return / write\(1<[^>]*>, "[0-9a-f]{64}\\n"/.test(line) ? 'a' : '';
    })
    .join('');
}

describe('a receipt that is answered', { skip, timeout: 60_000 }, () => {
  it('is on the disk, although the record of its beginning waits for nothing', (t) => {
    const directory = temporaryDirectory(t);
    const log = join(directory, 'strace.log');
    const flags = ['--follow-forks', '--decode-fds=path', '--string-limit=80', `--output=${log}`];
    const traced = [...flags, '--trace=pwrite64,write,fsync,fdatasync'];
    const command = [
      process.execPath,
      CHILD,
      'write-receipts',
      join(directory, 'data'),
      '1',
      String(RECEIPTS),
    ];
    execFileSync(STRACE, [...traced, ...command]);
    const seen = deeds(readFileSync(log, 'utf8'));
    const [, ...answers] = [...seen.matchAll(/[ws]*a/g)].map(([until]) => until);
    assert.equal(answers.length, RECEIPTS - 1, seen);
    for (const until of answers) assert.match(until, /ws+a$/, seen);
  });
});
