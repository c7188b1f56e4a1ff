import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { findCommand } from '../../../src/backends/process/command-lookup.js';
import { type ErrorCode, GlasshouseError } from '../../../src/base/errors.js';
import { ScratchDirectory, run, shell } from './support.js';

function executable(path: string, content: string): void {
  writeFileSync(path, content);
  chmodSync(path, 0o755);
}

function failsWith(code: ErrorCode, pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof GlasshouseError);
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  };
}

describe('findCommand', () => {
  it('searches PATH in order', () => {
    using directory = new ScratchDirectory();
    mkdirSync(join(directory.path, 'a'));
    mkdirSync(join(directory.path, 'b'));
    executable(join(directory.path, 'b', 'tool'), '#!/bin/sh\n');
    const path = `${directory.path}/a:${directory.path}/b:/bin`;
    assert.equal(findCommand('tool', path), `${directory.path}/b/tool`);
    executable(join(directory.path, 'a', 'tool'), '#!/bin/sh\n');
    assert.equal(findCommand('tool', path), `${directory.path}/a/tool`);
  });

  it('takes a name with a slash as a path', () => {
    assert.equal(findCommand('/bin/sh', undefined), '/bin/sh');
    assert.throws(() => findCommand('./sh', '/bin'), failsWith('command_not_found', /"\.\/sh"/));
  });

  it('searches /bin and /usr/bin when PATH is not set', () => {
    assert.match(findCommand('sh', undefined), /^\/(usr\/)?bin\/sh$/);
  });

  it('takes an empty element of PATH for the current directory', () => {
    assert.throws(
      () => findCommand('package.json', ':/bin'),
      failsWith('command_not_executable', /package\.json/),
    );
  });

  it('says not found for an unknown, an empty and an impossible name', () => {
    for (const name of ['no-such-command-here', '', '/no/such/file', '/bin/sh/x', 'x'.repeat(300)]) {
      const code = name.length > 255 ? 'command_not_executable' : 'command_not_found';
      assert.throws(() => findCommand(name, '/bin'), failsWith(code, /./));
    }
  });

  it('says not executable for a directory and for a file without the right', () => {
    using directory = new ScratchDirectory();
    writeFileSync(join(directory.path, 'plain'), '#!/bin/sh\n');
    assert.throws(
      () => findCommand(directory.path, undefined),
      failsWith('command_not_executable', /regular file/),
    );
    assert.throws(
      () => findCommand(join(directory.path, 'plain'), undefined),
      failsWith('command_not_executable', /EACCES/),
    );
  });

  it('goes on after a directory or a file without the right, and reports it only when nothing else is found', () => {
    using directory = new ScratchDirectory();
    mkdirSync(join(directory.path, 'sh'));
    assert.equal(findCommand('sh', `${directory.path}:/bin`), '/bin/sh');
    assert.throws(() => findCommand('sh', directory.path), failsWith('command_not_executable', /"sh"/));
  });

  it('says not executable for what the kernel does not recognise', () => {
    using directory = new ScratchDirectory();
    const file = (name: string): string => join(directory.path, name);
    executable(file('text'), 'echo hello\n');
    executable(file('empty'), '');
    assert.throws(
      () => findCommand(file('text'), undefined),
      failsWith('command_not_executable', /first line/),
    );
    assert.throws(() => findCommand(file('empty'), undefined), failsWith('command_not_executable', /empty/));
  });

  it('says not executable for a program of another kind of processor', () => {
    using directory = new ScratchDirectory();
    const header = Buffer.alloc(64);
    header.write('\x7fELF', 'latin1');
    header.writeUInt16LE(0xf3f3, 18);
    const file = join(directory.path, 'foreign');
    writeFileSync(file, header, { mode: 0o755 });
    assert.throws(() => findCommand(file, undefined), failsWith('command_not_executable', /processor/));
  });
});

describe('starting a command', () => {
  it('passes the name as it was typed as argument 0', async () => {
    const { stdout } = await run(['sh', '-c', 'echo "$0 $1"', 'zero', 'one']);
    assert.equal(stdout, 'zero one\n');
    const own = await run(['sh', '-c', 'tr "\\0" " " < /proc/$$/cmdline']);
    assert.match(own.stdout, /^sh -c /);
  });

  it('runs a script and a symbolic link', async () => {
    using directory = new ScratchDirectory();
    executable(join(directory.path, 'script'), '#!/bin/sh\necho "ran $1"\n');
    symlinkSync('script', join(directory.path, 'link'));
    assert.equal((await run([join(directory.path, 'link'), 'x'])).stdout, 'ran x\n');
  });

  it('runs a program that may be executed but not read', async () => {
    using directory = new ScratchDirectory();
    copyFileSync('/bin/true', join(directory.path, 'secret'));
    chmodSync(join(directory.path, 'secret'), 0o111);
    const { result } = await run([join(directory.path, 'secret')]);
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 0 });
  });

  it('names the interpreter of a script when that is what is missing', async () => {
    using directory = new ScratchDirectory();
    const script = join(directory.path, 'script');
    executable(script, '#!/no/such/interpreter -x\n');
    await assert.rejects(
      run([script]),
      failsWith('command_not_executable', /\/no\/such\/interpreter does not exist/),
    );
  });

  it('refuses arguments that are too long or have a NUL', async () => {
    await assert.rejects(run(['true', 'x'.repeat(4 << 20)]), failsWith('command_not_executable', /too long/));
    await assert.rejects(run(['true', 'a\0b']), failsWith('invalid_request', /NUL/));
  });

  it('searches the PATH of the program, not ours', async () => {
    await assert.rejects(
      shell('true', { program: { kind: 'command', argv: ['true'] }, environment: { PATH: '/no/such' } }),
      failsWith('command_not_found', /"true"/),
    );
  });
});
