import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { makePipes, closePipe } from '../../src/base/pipe.js';
import { WrittenFile, inspectStandardStream, isSameStream } from '../../src/cli/standard-streams.js';

let directory = '';
let file = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'glasshouse-test-'));
  file = join(directory, 'out');
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

describe('inspectStandardStream', () => {
  it('tells files, pipes, devices and closed descriptors apart', async () => {
    const descriptor = openSync(file, 'w');
    const nullDevice = openSync('/dev/null', 'w');
    const [pipe] = await makePipes(['read']);
    assert.ok(pipe !== undefined);
    assert.equal(inspectStandardStream(descriptor).kind, 'file');
    assert.equal(inspectStandardStream(nullDevice).kind, 'other');
    assert.equal(inspectStandardStream(pipe.theirs).kind, 'pipe');
    closeSync(nullDevice);
    closeSync(descriptor);
    assert.equal(inspectStandardStream(descriptor).kind, 'closed');
    closePipe(pipe);
  });

  it('recognises two descriptors that are one stream', async () => {
    const one = openSync(file, 'w');
    const other = openSync(file, 'a');
    const elsewhere = openSync('/dev/null', 'w');
    assert.ok(isSameStream(inspectStandardStream(one), inspectStandardStream(other)));
    assert.ok(!isSameStream(inspectStandardStream(one), inspectStandardStream(elsewhere)));
    for (const descriptor of [one, other, elsewhere]) closeSync(descriptor);
    assert.ok(!isSameStream(inspectStandardStream(one), inspectStandardStream(other)));
    await Promise.resolve();
  });
});

describe('WrittenFile', () => {
  /** What a program that is given the descriptor as its stdout does to it. */
  function sh(descriptor: number, script: string): void {
    execFileSync('/bin/sh', ['-c', script], { stdio: ['ignore', descriptor, 'inherit'] });
  }

  async function hashOf(flags: string, script: string): Promise<Awaited<ReturnType<WrittenFile['hash']>>> {
    const descriptor = openSync(file, flags);
    try {
      using written = new WrittenFile(descriptor);
      sh(descriptor, script);
      return await written.hash();
    } finally {
      closeSync(descriptor);
    }
  }

  it('hashes what the program wrote', async () => {
    const expected = { sha256: sha256('hello\nworld\n'), bytes: 12, reason: null };
    assert.deepEqual(await hashOf('w', 'echo hello; echo world'), expected);
  });

  it('hashes nothing as nothing', async () => {
    assert.deepEqual(await hashOf('w', ':'), { sha256: sha256(''), bytes: 0, reason: null });
  });

  it('leaves out what was there before, when appending and when starting in the middle', async () => {
    writeFileSync(file, 'before');
    assert.deepEqual(await hashOf('a', 'echo new'), { sha256: sha256('new\n'), bytes: 4, reason: null });

    const descriptor = openSync(file, 'w');
    writeSync(descriptor, 'earlier command\n');
    using written = new WrittenFile(descriptor);
    sh(descriptor, 'echo later');
    assert.deepEqual(await written.hash(), { sha256: sha256('later\n'), bytes: 6, reason: null });
    closeSync(descriptor);
  });

  it('hashes what was overwritten inside a longer file', async () => {
    writeFileSync(file, 'x'.repeat(100));
    assert.deepEqual(await hashOf('r+', 'echo over'), { sha256: sha256('over\n'), bytes: 5, reason: null });
  });

  it('hashes more than one chunk, also of a file that was removed', async () => {
    const descriptor = openSync(file, 'w');
    using written = new WrittenFile(descriptor);
    unlinkSync(file);
    sh(descriptor, 'head -c 3000000 /dev/zero | tr "\\0" x');
    assert.deepEqual(await written.hash(), {
      sha256: sha256('x'.repeat(3_000_000)),
      bytes: 3_000_000,
      reason: null,
    });
    closeSync(descriptor);
  });

  it('says that it does not know when the file was truncated', async () => {
    const descriptor = openSync(file, 'a');
    writeSync(descriptor, 'before');
    using written = new WrittenFile(descriptor);
    sh(descriptor, 'echo hello');
    truncateSync(file, 3);
    const hash = await written.hash();
    assert.equal(hash.sha256, null);
    assert.match(hash.reason, /truncated/);
    closeSync(descriptor);
  });

  it('says that it does not know when the program opened the file a second time', async () => {
    const hash = await hashOf('w', 'echo one >> /dev/stdout');
    assert.equal(hash.sha256, null);
    assert.match(hash.reason, /past the position/);
  });

  it('says so when others wrote behind the position', async () => {
    const descriptor = openSync(file, 'w');
    using written = new WrittenFile(descriptor);
    sh(descriptor, 'echo one');
    appendFileSync(file, 'two');
    assert.equal((await written.hash()).sha256, null);
    closeSync(descriptor);
  });

  it(
    'says so when the file cannot be read',
    { skip: process.getuid?.() === 0 ? 'root may read everything' : false },
    async () => {
      writeFileSync(file, '', { mode: 0o200 });
      const hash = await hashOf('a', 'echo x');
      assert.match(hash.reason ?? '', /cannot be read/);
    },
  );
});
