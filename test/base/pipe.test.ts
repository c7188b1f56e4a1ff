import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, constants, fstatSync, openSync, readSync, readlinkSync, writeSync } from 'node:fs';
import { describe, it } from 'node:test';

import { systemErrorCode } from '../../src/base/errors.js';
import { closePipe, makePipes } from '../../src/base/pipe.js';
import { PipeReader } from '../../src/base/pipe-reader.js';
import { PipeWriter } from '../../src/base/pipe-writer.js';

type Ends = Parameters<typeof makePipes>[0];

async function onePipe(end: Ends[number]): Promise<{ ours: number; theirs: number }> {
  const [pipe] = await makePipes([end]);
  assert.ok(pipe !== undefined);
  return pipe;
}

function collect(): { text: () => string; deliver: (chunk: Uint8Array) => Promise<void> } {
  const chunks: Uint8Array[] = [];
  return {
    text: () => Buffer.concat(chunks).toString(),
    deliver: (chunk) => {
      chunks.push(chunk);
      return Promise.resolve();
    },
  };
}

describe('makePipes', () => {
  it('makes empty kernel pipes, ours non-blocking, theirs in the other direction', async () => {
    const pipes = await makePipes(['read', 'write', 'read', 'read', 'read', 'read', 'write']);
    assert.equal(pipes.length, 7);
    assert.equal(new Set(pipes.map((pipe) => fstatSync(pipe.ours).ino)).size, 7);
    pipes.forEach((pipe, index) => {
      assert.match(readlinkSync(`/proc/self/fd/${pipe.theirs}`), /^pipe:\[\d+\]$/);
      assert.equal(fstatSync(pipe.ours).ino, fstatSync(pipe.theirs).ino);
      if (index === 1 || index === 6) {
        writeSync(pipe.ours, 'down');
        const buffer = Buffer.alloc(8);
        assert.equal(buffer.toString('utf8', 0, readSync(pipe.theirs, buffer)), 'down');
      } else {
        assert.throws(
          () => readSync(pipe.ours, Buffer.alloc(8)),
          (error) => systemErrorCode(error) === 'EAGAIN',
        );
        writeSync(pipe.theirs, 'up');
      }
      closePipe(pipe);
    });
  });

  it('connects nobody else: the last writer gone is the end of the file, the last reader gone is EPIPE', async () => {
    const inbound = await onePipe('read');
    closeSync(inbound.theirs);
    assert.equal(readSync(inbound.ours, Buffer.alloc(8)), 0);
    closeSync(inbound.ours);

    const outbound = await onePipe('write');
    closeSync(outbound.theirs);
    assert.throws(
      () => writeSync(outbound.ours, 'x'),
      (error) => systemErrorCode(error) === 'EPIPE',
    );
    closeSync(outbound.ours);
  });

  it('makes pipes that can be opened again when the other side has gone', async () => {
    const pipe = await onePipe('write');
    writeSync(pipe.ours, 'rest');
    closeSync(pipe.ours);
    const again = openSync(`/proc/self/fd/${pipe.theirs}`, 'r');
    const buffer = Buffer.alloc(8);
    assert.equal(buffer.toString('utf8', 0, readSync(again, buffer)), 'rest');
    assert.equal(readSync(again, buffer), 0);
    closeSync(again);
    closeSync(pipe.theirs);
  });
});

describe('PipeReader', () => {
  it('delivers everything up to the end of the file', async () => {
    const pipe = await onePipe('read');
    spawn('/bin/sh', ['-c', 'echo one; echo two'], {
      stdio: ['ignore', pipe.theirs, 'inherit'],
    });
    closeSync(pipe.theirs);
    const output = collect();
    await new PipeReader(pipe.ours, output.deliver).finished;
    assert.equal(output.text(), 'one\ntwo\n');
  });

  it('drains what is there without waiting for a writer that stays', async () => {
    const pipe = await onePipe('read');
    const output = collect();
    const reader = new PipeReader(pipe.ours, output.deliver);
    writeSync(pipe.theirs, 'already written');
    reader.drain();
    await reader.finished;
    assert.equal(output.text(), 'already written');
    assert.throws(() => fstatSync(pipe.ours));
    closeSync(pipe.theirs);
  });

  it('drains in order while a delivery is under way', async () => {
    const pipe = await onePipe('read');
    const output = collect();
    let first = true;
    writeSync(pipe.theirs, 'a');
    const reader: PipeReader = new PipeReader(pipe.ours, async (chunk) => {
      if (first) {
        first = false;
        writeSync(pipe.theirs, 'b');
        reader.drain();
      }
      await output.deliver(chunk);
    });
    await reader.finished;
    assert.equal(output.text(), 'ab');
    closeSync(pipe.theirs);
  });

  it('finishes at once when closed, also during a delivery that never ends', async () => {
    const pipe = await onePipe('read');
    writeSync(pipe.theirs, 'x');
    await new Promise<void>((resolve, reject) => {
      const reader: PipeReader = new PipeReader(pipe.ours, () => {
        reader.close();
        reader.finished.then(resolve, reject);
        return new Promise(() => undefined);
      });
    });
    assert.throws(
      () => writeSync(pipe.theirs, 'y'),
      (error) => systemErrorCode(error) === 'EPIPE',
    );
    closeSync(pipe.theirs);
  });

  it('closes the pipe and rejects when a delivery fails', async () => {
    const pipe = await onePipe('read');
    writeSync(pipe.theirs, 'x');
    const failure = new Error('full');
    await assert.rejects(new PipeReader(pipe.ours, () => Promise.reject(failure)).finished, failure);
    assert.throws(
      () => writeSync(pipe.theirs, 'y'),
      (error) => systemErrorCode(error) === 'EPIPE',
    );
    closeSync(pipe.theirs);
  });
});

describe('PipeWriter', () => {
  it('resolves when the pipe has taken all, and ends the file when closed', async () => {
    const pipe = await onePipe('write');
    const writer = new PipeWriter(pipe.ours);
    await writer.write(Buffer.from('hello'));
    await writer.close();
    await writer.close();
    const buffer = Buffer.alloc(16);
    assert.equal(buffer.toString('utf8', 0, readSync(pipe.theirs, buffer)), 'hello');
    assert.equal(readSync(pipe.theirs, buffer), 0);
    closeSync(pipe.theirs);
  });

  it('waits while the pipe is full', async () => {
    const pipe = await onePipe('write');
    const writer = new PipeWriter(pipe.ours);
    let written = false;
    const writing = writer.write(Buffer.alloc(200_000, 1)).then(() => (written = true));
    const ownReader = openSync(`/proc/self/fd/${pipe.theirs}`, constants.O_RDONLY | constants.O_NONBLOCK);
    let total = 0;
    const reader = new PipeReader(ownReader, (chunk) => {
      // At most one pipe full is not yet read.
      if (total < 100_000) assert.equal(written, false);
      total += chunk.length;
      return Promise.resolve();
    });
    await writing;
    await writer.close();
    closeSync(pipe.theirs);
    await reader.finished;
    assert.equal(total, 200_000);
  });

  it('rejects with EPIPE when nobody reads, and when it is closed in between', async () => {
    const gone = await onePipe('write');
    closeSync(gone.theirs);
    await using writer = new PipeWriter(gone.ours);
    await assert.rejects(writer.write(Buffer.from('x')), (error) => systemErrorCode(error) === 'EPIPE');

    const full = await onePipe('write');
    const stuck = new PipeWriter(full.ours);
    const writing = assert.rejects(
      stuck.write(Buffer.alloc(200_000)),
      (error) => systemErrorCode(error) === 'ECANCELED',
    );
    await stuck.close();
    await writing;
    closeSync(full.theirs);
  });
});
