import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { Cell, sweepCells } from '../../../src/backends/firecracker/cell.js';
import { openDescriptors, ScratchDirectory } from '../../contract/subject.js';

const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

describe('the cell of a machine', { timeout: 60_000 }, () => {
  it('is laid out as the jailer lays it out, closed to others, and goes with everything in it', async () => {
    const base = scratch.make('cells');
    const descriptors = openDescriptors();
    {
      await using cell = await Cell.create(base, 'firecracker');
      assert.match(cell.name, /^[0-9a-f-]{1,64}$/);
      assert.equal(cell.root, join(base, 'firecracker', cell.name, 'root'));
      assert.equal(statSync(cell.root).mode & 0o777, 0o700);
      mkdirSync(join(cell.root, 'dev/net'), { recursive: true });
      await cell.put('state', Buffer.from('frozen'));
    }
    assert.deepEqual(readdirSync(join(base, 'firecracker')), []);
    assert.deepEqual(openDescriptors(), descriptors);
  });

  it('reaches a socket however long its own path is', async () => {
    const deep = scratch.make(['deep', 'x'.repeat(100), 'y'.repeat(100)].join('/'));
    await using cell = await Cell.create(deep, 'firecracker');
    const server = createServer((socket) => socket.end('here')).listen(cell.socketPath('api.sock'));
    await once(server, 'listening');
    const socket = connect(cell.socketPath('api.sock'));
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    assert.equal(chunk.toString(), 'here');
    server.close();
  });

  it('opens a pipe there, and nothing else that has its name', async () => {
    const descriptors = openDescriptors();
    {
      await using cell = await Cell.create(scratch.make('pipes'), 'firecracker');
      spawnSync('mkfifo', [join(cell.root, 'pipe')]);
      closeSync(cell.openPipe('pipe'));
      writeFileSync(join(cell.root, 'file'), 'no pipe');
      symlinkSync('pipe', join(cell.root, 'link'));
      mkdirSync(join(cell.root, 'directory'));
      for (const name of ['absent', 'file', 'link', 'directory'])
        assert.throws(() => cell.openPipe(name), { code: 'vmm_failed' }, name);
    }
    assert.deepEqual(openDescriptors(), descriptors);
  });

  it('gives what was written there, and no more than a state can be', async () => {
    await using cell = await Cell.create(scratch.make('states'), 'firecracker');
    await cell.put('state', Buffer.from('frozen'));
    assert.deepEqual(await cell.take('state'), Buffer.from('frozen'));
    writeFileSync(join(cell.root, 'empty'), '');
    writeFileSync(join(cell.root, 'huge'), '');
    truncateSync(join(cell.root, 'huge'), 65 * 1024 * 1024);
    symlinkSync('/etc/hostname', join(cell.root, 'link'));
    mkdirSync(join(cell.root, 'directory'));
    await assert.rejects(cell.take('empty'), { code: 'vmm_failed' });
    await assert.rejects(cell.take('huge'), { code: 'vmm_failed' });
    await assert.rejects(cell.take('link'));
    await assert.rejects(cell.take('directory'));
  });

  it('is swept away when the process that made it is gone, and only then', async () => {
    const base = scratch.make('swept');
    await using cell = await Cell.create(base, 'firecracker');
    const [, , ...rest] = cell.name.split('-');
    // Pid 1 is somebody, but did not start when this says; the other boot is over.
    const gone = ['1', '1', ...rest].join('-');
    const otherBoot = cell.name.replace(/-[0-9a-f-]{18}-([0-9a-f]{8})$/, '-00000000-0000-0000-$1');
    for (const name of [gone, otherBoot, 'not-a-cell'])
      mkdirSync(join(base, 'firecracker', name, 'root'), { recursive: true });
    assert.deepEqual(await sweepCells(base), []);
    assert.deepEqual(readdirSync(join(base, 'firecracker')).sort(), [cell.name, 'not-a-cell'].sort());
    assert.ok(existsSync(cell.root));
    assert.equal(readFileSync('/proc/self/stat', 'utf8').startsWith(cell.name.split('-')[0] ?? '-'), true);
  });

  it('that cannot be removed is named, and keeps nobody from the others', async (test) => {
    const base = scratch.make('stubborn');
    const cell = await Cell.create(base, 'firecracker');
    const names = ['1', '2'].map((start) => ['1', start, ...cell.name.split('-').slice(2)].join('-'));
    await cell[Symbol.asyncDispose]();
    const files = names.map((name) => join(base, 'firecracker', name, 'root', 'file\n'));
    for (const file of files) {
      mkdirSync(join(file, '..'), { recursive: true });
      writeFileSync(file, '');
    }
    // The immutable attribute (chattr(1)) stands for a file system that refuses.
    if (spawnSync('chattr', ['+i', files[0] ?? '']).status !== 0) {
      test.skip('no file can be made immutable here');
      return;
    }
    try {
      assert.deepEqual(await sweepCells(base), [
        `the cell ${names[0] ?? ''}, which a machine has left, could not be removed (EPERM)`,
      ]);
    } finally {
      spawnSync('chattr', ['-i', files[0] ?? '']);
    }
    assert.deepEqual(readdirSync(join(base, 'firecracker')), [names[0]]);
    assert.deepEqual(await sweepCells(base), []);
    assert.deepEqual(readdirSync(join(base, 'firecracker')), []);
  });
});
