import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect, type Socket } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { GuestConnection } from '../../src/guest-link/connection.js';
import { encodeFrame } from '../../src/guest-link/frame.js';
import { GUEST_FRAME_TYPES, type GuestMessage } from '../../src/guest-link/guest-message.js';
import { goldenBytes, goldenMessages, inWords } from './golden.js';

const BOUNDS = { maxFiles: 1000, maxFileBytes: 64 * 1024 * 1024 };

/** Both ends of a real Unix socket. */
interface Link extends AsyncDisposable {
  readonly host: Socket;
  readonly guest: Socket;
}

async function openLink(): Promise<Link> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'glasshouse-link-'));
  const server = createServer({ pauseOnConnect: true });
  server.listen(path.join(directory, 'link'));
  await once(server, 'listening');
  const guest = connect(path.join(directory, 'link'));
  const [host] = (await once(server, 'connection')) as [Socket];
  return {
    host,
    guest,
    [Symbol.asyncDispose]: async () => {
      host.destroy();
      guest.destroy();
      server.close();
      await rm(directory, { recursive: true });
    },
  };
}

describe('a connection to a guest', () => {
  let link: Link;

  beforeEach(async () => {
    link = await openLink();
  });
  afterEach(async () => {
    await link[Symbol.asyncDispose]();
  });

  it('sends the golden run, in order and numbered', async () => {
    const connection = new GuestConnection(link.host, BOUNDS);
    await connection.send({ type: 'clock', nanoseconds: 1795446455516000000n });
    await connection.send({
      type: 'entropy',
      bytes: Buffer.from(Array.from({ length: 64 }, (_, byte) => byte)),
    });
    link.host.end();
    const received: Buffer[] = [];
    for await (const chunk of link.guest as AsyncIterable<Buffer>) received.push(chunk);
    const expected = goldenBytes('host-run.bin').subarray(0, 12 + 8 + 12 + 64);
    assert.deepEqual(Buffer.concat(received), expected);
  });

  it('gives the messages of the golden run and ends with the stream', async () => {
    const connection = new GuestConnection(link.host, BOUNDS);
    link.guest.end(goldenBytes('guest-run.bin'));
    const messages: GuestMessage[] = [];
    for await (const message of connection.messages()) messages.push(message);
    assert.deepEqual(messages.map(inWords), goldenMessages('guest-run.json'));
  });

  it('reports a stream that ends inside a frame', async () => {
    const connection = new GuestConnection(link.host, BOUNDS);
    link.guest.end(goldenBytes('bad-guest-truncated.bin'));
    await assert.rejects(async () => {
      for await (const _message of connection.messages()) continue;
    }, /ended inside a frame/);
  });

  it('stops reading while nobody asks for the next message', async () => {
    const connection = new GuestConnection(link.host, BOUNDS);
    const messages = connection.messages();
    const [hello, started] = [
      goldenBytes('guest-run.bin').subarray(0, 24),
      goldenBytes('guest-run.bin').subarray(24, 44),
    ];
    link.guest.write(hello);
    link.guest.write(started);
    await messages.next();
    await messages.next();
    const frames = Array.from({ length: 320 }, (_, index) =>
      encodeFrame(GUEST_FRAME_TYPES.stdout, 2 + index, Buffer.alloc(65_536)),
    );
    for (const frame of frames) link.guest.write(frame);
    // Both ends live in this event loop: an eager reader would have taken all 20 MiB within these turns.
    for (let turn = 0; turn < 1000; turn += 1) await setImmediate();
    assert.ok(link.host.bytesRead < 2 * 1024 * 1024, `${link.host.bytesRead} bytes were read ahead`);
    let received = 0;
    for (let next = await messages.next(); received < frames.length; next = await messages.next()) {
      assert.equal(next.value?.type, 'stdout');
      received += 1;
      if (received === frames.length) break;
    }
    assert.ok(link.host.bytesRead > 20 * 1024 * 1024);
  });

  it('does not fail when the guest is gone', async () => {
    const connection = new GuestConnection(link.host, BOUNDS);
    link.host.destroy();
    await once(link.host, 'close');
    await connection.send({ type: 'kill' });
  });
});
