import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import fc from 'fast-check';

import { systemErrorCode } from '../../src/base/errors.js';
import { emptyDirectory } from '../../src/base/remove-tree.js';
import { openDescriptors, ScratchDirectory } from '../contract/subject.js';

const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

/** What must still be there afterwards; links in the trees lead to it. */
const precious = join(scratch.make('elsewhere'), 'precious');
writeFileSync(precious, 'kept');

type Tree = readonly Entry[];
type Entry =
  | { readonly kind: 'file' | 'link to a file' | 'link to a directory' }
  | { readonly kind: 'directory'; readonly mode: number; readonly entries: Tree };

const { tree } = fc.letrec<{ tree: Tree; entry: Entry }>((tie) => ({
  tree: fc.array(tie('entry'), { maxLength: 5 }),
  entry: fc.oneof(
    { depthSize: 'large', withCrossShrink: true },
    fc.record({
      kind: fc.constantFrom('file' as const, 'link to a file' as const, 'link to a directory' as const),
    }),
    fc.record({
      kind: fc.constant('directory' as const),
      mode: fc.constantFrom(0o700, 0o1777),
      entries: tie('tree'),
    }),
  ),
}));

/** Names that are no text among them. */
function make(at: Buffer, entries: Tree): void {
  for (const [index, entry] of entries.entries()) {
    const name = Buffer.concat([at, Buffer.from('/'), Buffer.from([0xff, 0x0a, 0x41 + index])]);
    switch (entry.kind) {
      case 'file':
        writeFileSync(name, 'text');
        break;
      case 'link to a file':
        symlinkSync(precious, name);
        break;
      case 'link to a directory':
        symlinkSync(join(precious, '..'), name);
        break;
      case 'directory':
        mkdirSync(name);
        make(name, entry.entries);
        chmodSync(name, entry.mode);
    }
  }
}

function python(directory: string, ...lines: string[]): void {
  const { status, stderr } = spawnSync('python3', ['-c', lines.join('\n')], { cwd: directory });
  assert.equal(status, 0, stderr.toString());
}

describe('emptying a directory', { timeout: 120_000 }, () => {
  it('removes any tree, follows no link, and keeps nothing open', async () => {
    const directory = scratch.make('any');
    const descriptors = openDescriptors();
    await fc.assert(
      fc.asyncProperty(tree, async (entries) => {
        make(Buffer.from(directory), entries);
        await emptyDirectory(directory);
        assert.deepEqual(readdirSync(directory), []);
        assert.equal(readFileSync(precious, 'utf8'), 'kept');
      }),
      { numRuns: 60 },
    );
    assert.deepEqual(openDescriptors(), descriptors);
  });

  it('removes what is deeper than any path can name, with few descriptors', async () => {
    const directory = scratch.make('deep');
    python(
      directory,
      'import os',
      'for _ in range(3000):',
      '    os.mkdir("x" * 200); open("file", "w").close(); os.chdir("x" * 200)',
    );
    await emptyDirectory(directory);
    assert.deepEqual(readdirSync(directory), []);
  });

  it('removes many names in one directory', async () => {
    const directory = scratch.make('wide');
    python(directory, 'import os', 'os.mkdir("d")', 'for i in range(20000): open(f"d/{i}", "w").close()');
    await emptyDirectory(directory);
    assert.deepEqual(readdirSync(directory), []);
  });

  it('touches nothing elsewhere while somebody changes directories into links', async () => {
    const directory = scratch.make('contested');
    const swap = [
      'import os',
      'os.mkdir("root"); os.chdir("root")',
      'print("ready", flush=True)',
      'def attempt(call, *arguments):',
      '    try: call(*arguments)',
      '    except OSError: pass',
      'while os.path.exists("../root"):',
      '    attempt(os.mkdir, "d"); attempt(open, "d/precious", "w"); attempt(os.rename, "d", "e")',
      `    attempt(os.symlink, ${JSON.stringify(join(precious, '..'))}, "d"); attempt(os.unlink, "d")`,
    ].join('\n');
    const adversary = spawn('python3', ['-c', swap], { cwd: directory, stdio: ['ignore', 'pipe', 'ignore'] });
    const closed = once(adversary, 'close');
    try {
      await once(adversary.stdout, 'data');
      for (let round = 0; round < 20; round += 1) {
        await emptyDirectory(directory).catch((error: unknown) => {
          assert.equal(systemErrorCode(error), 'ENOTEMPTY');
        });
        assert.equal(readFileSync(precious, 'utf8'), 'kept');
      }
    } finally {
      adversary.kill('SIGKILL');
      await closed;
    }
    await emptyDirectory(directory);
    assert.deepEqual(readdirSync(directory), []);
  });

  it('goes on where one was cut off, and finds nothing to do where there is nothing', async () => {
    const directory = scratch.make('cut-off');
    mkdirSync(join(directory, '0123456789abcdef-0', 'left'), { recursive: true });
    await emptyDirectory(directory);
    assert.deepEqual(readdirSync(directory), []);
    rmSync(directory, { recursive: true });
    await emptyDirectory(directory);
  });

  it('does not enter a link in place of the directory itself', async () => {
    const link = join(scratch.make('links'), 'link');
    symlinkSync(join(precious, '..'), link);
    await assert.rejects(emptyDirectory(link));
    assert.equal(readFileSync(precious, 'utf8'), 'kept');
  });
});
