import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Readable } from 'node:stream';
import { describe, it } from 'node:test';

import { GlasshouseError } from '../../src/base/errors.js';
import { type Pipe, makePipes } from '../../src/base/pipe.js';
import { DescriptorWriter } from '../../src/cli/descriptor-writer.js';
import { ForwardedOutput } from '../../src/cli/forward-output.js';

async function onePipe(): Promise<Pipe> {
  const [pipe] = await makePipes(['read']);
  assert.ok(pipe !== undefined);
  return pipe;
}

function piped(child: ChildProcess): Readable {
  assert.ok(child.stdout !== null);
  return child.stdout;
}

function isClosed(error: unknown): boolean {
  return error instanceof GlasshouseError && error.code === 'output_closed';
}

const socketFixture = join(import.meta.dirname, '../fixtures/process/forward-to-socket.js');

describe('ForwardedOutput', () => {
  it('writes to a pipe all that it gets, slower than the other side reads', async () => {
    const pipe = await onePipe();
    const copy = spawn('/bin/sh', ['-c', 'cat | wc -c'], { stdio: [pipe.ours, 'pipe', 'inherit'] });
    await using forwarded = new ForwardedOutput({ stdout: pipe.theirs, stderr: 2 });
    for (let i = 0; i < 16; i += 1) await forwarded.write('stdout', Buffer.alloc(200_000));
    await forwarded[Symbol.asyncDispose]();
    closeSync(pipe.theirs);
    closeSync(pipe.ours);
    const [count] = (await once(piped(copy), 'data')) as [Buffer];
    assert.equal(count.toString().trim(), '3200000');
  });

  it('leaves the mode of a shared pipe as it is', async () => {
    const pipe = await onePipe();
    await using forwarded = new ForwardedOutput({ stdout: pipe.theirs, stderr: 2 });
    await forwarded.write('stdout', Buffer.from('x'));
    const flags = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${pipe.theirs}`, 'utf8'))?.[1];
    assert.equal(Number.parseInt(flags ?? '', 8) & constants.O_NONBLOCK, 0);
    closeSync(pipe.theirs);
    closeSync(pipe.ours);
  });

  it('says output_closed when the reader has gone, before or while it writes', async () => {
    const gone = await onePipe();
    closeSync(gone.ours);
    await using before = new ForwardedOutput({ stdout: gone.theirs, stderr: 2 });
    await assert.rejects(before.write('stdout', Buffer.from('x')), isClosed);
    closeSync(gone.theirs);

    const going = await onePipe();
    await using during = new ForwardedOutput({ stdout: going.theirs, stderr: 2 });
    const writing = assert.rejects(during.write('stdout', Buffer.alloc(200_000)), isClosed);
    closeSync(going.ours);
    await writing;
    closeSync(going.theirs);
  });

  it('gives up a write that nobody takes when it is disposed of', async () => {
    const pipe = await onePipe();
    const forwarded = new ForwardedOutput({ stdout: pipe.theirs, stderr: 2 });
    const writing = assert.rejects(forwarded.write('stdout', Buffer.alloc(200_000)), isClosed);
    await forwarded[Symbol.asyncDispose]();
    await writing;
    closeSync(pipe.theirs);
    closeSync(pipe.ours);
  });

  it('writes to a file', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'glasshouse-test-'));
    const descriptor = openSync(join(directory, 'out'), 'w');
    await using forwarded = new ForwardedOutput({ stdout: descriptor, stderr: descriptor });
    await forwarded.write('stdout', Buffer.from('out '));
    await forwarded.write('stderr', Buffer.from('err'));
    closeSync(descriptor);
    assert.equal(readFileSync(join(directory, 'out'), 'utf8'), 'out err');
    rmSync(directory, { recursive: true });
  });

  it('says what is wrong with a full device', async () => {
    const descriptor = openSync('/dev/full', 'w');
    await using forwarded = new ForwardedOutput({ stdout: descriptor, stderr: 2 });
    await assert.rejects(
      forwarded.write('stdout', Buffer.from('x')),
      (error) => error instanceof GlasshouseError && error.code === 'disk_full',
    );
    closeSync(descriptor);
  });

  it('writes to a socket, which is what a parent that is Node.js gives its children', async () => {
    const child = spawn(process.execPath, [socketFixture], { stdio: ['ignore', 'pipe', 'inherit'] });
    let bytes = 0;
    child.stdout.on('data', (chunk: Buffer) => (bytes += chunk.length));
    assert.deepEqual(await once(child, 'close'), [0, null]);
    assert.equal(bytes, 1_048_576);
  });

  it('says output_closed when the other side of a socket has gone', async () => {
    const child = spawn(process.execPath, [socketFixture], { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.once('data', () => child.stdout.destroy());
    assert.deepEqual(await once(child, 'exit'), [3, null]);
  });
});

describe('DescriptorWriter', () => {
  it('waits for a non-blocking descriptor', async () => {
    const pipe = await onePipe();
    const nonBlocking = openSync(`/proc/self/fd/${pipe.theirs}`, constants.O_WRONLY | constants.O_NONBLOCK);
    const writing = new DescriptorWriter(nonBlocking).write(Buffer.alloc(500_000));
    const copy = spawn('wc', ['-c'], { stdio: [pipe.ours, 'pipe', 'inherit'] });
    await writing;
    for (const descriptor of [nonBlocking, pipe.theirs, pipe.ours]) closeSync(descriptor);
    const [count] = (await once(piped(copy), 'data')) as [Buffer];
    assert.equal(count.toString().trim(), '500000');
  });
});
