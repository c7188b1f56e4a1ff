import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect, type Socket } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { GuestConnection } from '../../src/guest-link/connection.js';
import { encodeFrame } from '../../src/guest-link/frame.js';
import { GUEST_FRAME_TYPES, type GuestMessage } from '../../src/guest-link/guest-message.js';
import { encodeHostMessage, HOST_FRAME_TYPES, type HostMessage } from '../../src/guest-link/host-message.js';
import { goldenBytes, goldenFrames, goldenMessages, inWords } from './golden.js';

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

function asArguments(words: Record<string, unknown>): HostMessage {
  return words as HostMessage;
}

function boundedConnection(stream: Duplex): GuestConnection {
  const connection = new GuestConnection(stream);
  connection.boundOutput(BOUNDS);
  return connection;
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
    const connection = boundedConnection(link.host);
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
    const connection = boundedConnection(link.host);
    link.guest.end(goldenBytes('guest-run.bin'));
    const messages: GuestMessage[] = [];
    for (let message = await connection.next(); message !== null; message = await connection.next())
      messages.push(message);
    assert.deepEqual(messages.map(inWords), goldenMessages('guest-run.json'));
  });

  it('sends many messages as it sends them one by one', async () => {
    const connection = boundedConnection(link.host);
    const long = Buffer.alloc(65_536, 'x');
    const messages = goldenMessages('host-run.json').slice(3, 6).map(asArguments);
    await connection.sendAll([...messages, { type: 'file_data', bytes: long }, { type: 'start' }]);
    await connection.sendAll([]);
    assert.deepEqual(connection.position, { sent: 5, received: 0 });
    link.host.end();
    const received: Buffer[] = [];
    for await (const chunk of link.guest as AsyncIterable<Buffer>) received.push(chunk);
    const expected = [
      ...messages,
      { type: 'file_data', bytes: long } as const,
      { type: 'start' } as const,
    ].map((message, sequence) =>
      encodeFrame(HOST_FRAME_TYPES[message.type], sequence, encodeHostMessage(message)),
    );
    assert.deepEqual(Buffer.concat(received), Buffer.concat(expected));
  });

  it('goes on in both directions where another one was when its guest was frozen', async () => {
    const frozenAt = 10;
    const guest = goldenFrames('guest-clone-run.bin');
    const connection = new GuestConnection(link.host, { sent: 33, received: frozenAt });
    connection.boundOutput(BOUNDS);
    link.guest.write(Buffer.concat(guest.slice(frozenAt)));
    for (const words of goldenMessages('guest-clone-run.json').slice(frozenAt)) {
      const message = await connection.next();
      assert.deepEqual(message === null ? null : inWords(message), words);
    }
    await connection.send({ type: 'kill' });
    assert.deepEqual(connection.position, { sent: 34, received: guest.length });
    const sent = (await once(link.guest, 'data'))[0] as Buffer;
    assert.equal(sent.readUInt32LE(8), 33);
  });

  it('believes no clone that counts from the beginning, or greets', async () => {
    const connection = new GuestConnection(link.host, { sent: 33, received: 10 });
    link.guest.end(Buffer.concat(goldenFrames('guest-clone-run.bin')));
    await assert.rejects(connection.next(), { code: 'guest_link_violation' });
  });

  it('reports a stream that ends inside a frame', async () => {
    const connection = boundedConnection(link.host);
    link.guest.end(goldenBytes('bad-guest-truncated.bin'));
    await assert.rejects(
      async () => {
        while ((await connection.next()) !== null) continue;
      },
      { code: 'guest_lost', message: /ended inside a frame/ },
    );
  });

  it('stops reading while nobody asks for the next message', async () => {
    const connection = boundedConnection(link.host);
    const [hello, started] = [
      goldenBytes('guest-run.bin').subarray(0, 24),
      goldenBytes('guest-run.bin').subarray(24, 44),
    ];
    link.guest.write(hello);
    link.guest.write(started);
    await connection.next();
    await connection.next();
    const frames = Array.from({ length: 320 }, (_, index) =>
      encodeFrame(GUEST_FRAME_TYPES.stdout, 2 + index, Buffer.alloc(65_536)),
    );
    for (const frame of frames) link.guest.write(frame);
    // Both ends live in this event loop: an eager reader would have taken all 20 MiB within these turns.
    for (let turn = 0; turn < 1000; turn += 1) await setImmediate();
    assert.ok(link.host.bytesRead < 2 * 1024 * 1024, `${link.host.bytesRead} bytes were read ahead`);
    let received = 0;
    for (; received < frames.length; received += 1) assert.equal((await connection.next())?.type, 'stdout');
    assert.ok(link.host.bytesRead > 20 * 1024 * 1024);
  });

  it('does not fail when the guest is gone', async () => {
    const connection = boundedConnection(link.host);
    link.host.destroy();
    await once(link.host, 'close');
    await connection.send({ type: 'kill' });
  });
});
