import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';

import { outerCommand, parseResult } from './outer-machine.js';
import { outerKey } from './outer-recipe.js';
import { librariesOf } from './share.js';

const OUTER = new URL('../../../test/lab/outer/', import.meta.url);

const machine = {
  root: { tree: '/lab,1/tree', kernel: '/lab,1/tree/boot/vmlinuz-6', image: '/lab,1/root.ext4' },
  sharedDisk: '/run,1/shared.ext4',
  scratchDisk: '/run,1/scratch.ext4',
  consoleLog: '/logs,1/console.log',
  outputLog: '/logs,1/output.log',
  resultFile: '/run,1/result',
};

describe('the outer guest', () => {
  it('says how its job ended in one line of its own, and nothing else counts', () => {
    assert.equal(parseResult('exit 0\n'), 0);
    assert.equal(parseResult('exit 143\n'), 143);
    for (const text of ['', 'exit 0', 'exit \n', 'exit 1234\n', 'exit 0\nexit 1\n', '0\n']) {
      assert.equal(parseResult(text), null);
    }
  });

  it('is built anew after each change of its recipe, and only then', () => {
    const key = outerKey(null, 'stub');
    assert.match(key, /^[0-9a-f]{16}$/);
    assert.equal(outerKey(null, 'stub'), key);
    assert.notEqual(outerKey(null, 'another stub'), key);
    assert.notEqual(outerKey('file:///mirror', 'stub'), key);
  });

  it('runs the QEMU of its own root with the libraries of its own root', async () => {
    const [program, flag, libraries, qemu] = await outerCommand(machine);
    assert.equal(program, '/lab,1/tree/usr/lib64/ld-linux-x86-64.so.2');
    assert.deepEqual([flag, libraries], ['--library-path', '/lab,1/tree/usr/lib/x86_64-linux-gnu']);
    assert.equal(qemu, '/lab,1/tree/usr/bin/qemu-system-x86_64');
  });

  it('can write to the scratch disk alone, wherever the clone is', async () => {
    const command = await outerCommand(machine);
    const disks = command.filter((word) => word.startsWith('if=none,'));
    assert.deepEqual(disks, [
      'if=none,id=root,format=raw,readonly=on,file=/lab,,1/root.ext4',
      'if=none,id=shared,format=raw,readonly=on,file=/run,,1/shared.ext4',
      'if=none,id=scratch,format=raw,cache=unsafe,file=/run,,1/scratch.ext4',
    ]);
    assert.ok(command.includes('file,id=console,path=/logs,,1/console.log'));
  });

  it('has programs that sh can read', async () => {
    for (const name of ['stub.sh', 'init.sh']) {
      const { status, stderr } = spawnSync('sh', ['-n'], {
        input: await readFile(new URL(name, OUTER)),
        encoding: 'utf8',
      });
      assert.deepEqual([status, stderr], [0, ''], name);
    }
  });

  it('is brought the libraries of Node.js that ldd finds in files', () => {
    const listing = [
      '\tlinux-vdso.so.1 (0x00007efe8e576000)',
      '\tlibnode.so.115 => /lib/x86_64-linux-gnu/libnode.so.115 (0x00007efe8e560000)',
      '\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007efe8e01e000)',
      '\tlibmissing.so.1 => not found',
      '\t/lib64/ld-linux-x86-64.so.2 (0x00007efe8e578000)',
    ];
    assert.deepEqual(librariesOf(listing.join('\n')), [
      '/lib/x86_64-linux-gnu/libnode.so.115',
      '/lib/x86_64-linux-gnu/libc.so.6',
    ]);
  });
});
