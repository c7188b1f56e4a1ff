import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { VsockLink } from '../../../src/backends/firecracker/vsock-link.js';
import { ScratchDirectory } from '../../contract/subject.js';

const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

const GREETING = '\u0001';
const CONNECT = 'CONNECT 1000\n';

type Behaviour = (socket: Socket, attempt: number) => void;

/** What Firecracker has at the other end: each connection behaves as the test says, once it has asked to be connected. */
class ScriptedVsock implements AsyncDisposable {
  readonly path: string;
  readonly asked: string[] = [];
  readonly #server: Server;
  static #count = 0;

  constructor(behaviour: Behaviour) {
    this.path = join(scratch.path, `vsock-${(ScriptedVsock.#count += 1)}`);
    this.#server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.once('data', (bytes: Buffer) => {
        this.asked.push(bytes.toString('latin1'));
        behaviour(socket, this.asked.length);
      });
    });
  }

  async listen(): Promise<this> {
    this.#server.listen(this.path);
    await once(this.#server, 'listening');
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }
}

async function readAll(link: VsockLink): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of link as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('latin1');
}

describe('the guest link over vsock', { timeout: 60_000 }, () => {
  it('asks for the port of guest init and carries what follows the greeting', async () => {
    await using vsock = await new ScriptedVsock((socket) => {
      socket.end(`OK 1073741824\n${GREETING}frames`);
    }).listen();
    assert.equal(await readAll(new VsockLink(vsock.path, 'booting guest')), 'frames');
    assert.deepEqual(vsock.asked, [CONNECT]);
  });

  it('takes a handshake in any number of pieces', async () => {
    await using vsock = await new ScriptedVsock((socket) => {
      void (async () => {
        for (const byte of `OK 7\n${GREETING}more`) {
          socket.write(byte);
          await new Promise((resolve) => setImmediate(resolve));
        }
        socket.end();
      })();
    }).listen();
    const link = new VsockLink(vsock.path, 'booting guest');
    assert.equal(await readAll(link), 'more');
    assert.deepEqual(vsock.asked, [CONNECT]);
  });

  it('tries until guest init listens and greets, and loses nothing that was written before', async () => {
    const written: Buffer[] = [];
    await using vsock = await new ScriptedVsock((socket, attempt) => {
      // Nobody listens; then the machine is reset under a connection that nobody has accepted; then it works.
      if (attempt === 1) socket.destroy();
      else if (attempt === 2) socket.end('OK 1\n');
      else {
        socket.write(`OK 2\n${GREETING}`);
        socket.on('data', (bytes: Buffer) => written.push(bytes));
        socket.once('end', () => socket.end('bye'));
      }
    }).listen();
    const link = new VsockLink(vsock.path, 'booting guest');
    link.write('one ');
    link.write('two ');
    link.end('three');
    assert.equal(await readAll(link), 'bye');
    assert.equal(Buffer.concat(written).toString(), 'one two three');
    assert.equal(vsock.asked.length, 3);
  });

  it('waits for a socket that does not exist yet', async () => {
    const vsock = new ScriptedVsock((socket) => socket.end(`OK 1\n${GREETING}x`));
    const link = new VsockLink(vsock.path, 'booting guest');
    await using _listening = await vsock.listen();
    assert.equal(await readAll(link), 'x');
  });

  for (const [what, answer] of [
    ['another answer', 'NO 1\n'],
    ['another greeting', 'OK 1\nx'],
    ['a line without end', 'OK 111111111111111111111'],
  ] as const) {
    it(`does not take ${what} for a connection`, async () => {
      let link: VsockLink | null = null;
      await using vsock = await new ScriptedVsock((socket, attempt) => {
        socket.write(answer);
        if (attempt === 3) link?.destroy();
      }).listen();
      link = new VsockLink(vsock.path, 'booting guest');
      await assert.rejects(readAll(link), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
      assert.equal(vsock.asked.length, 3);
    });
  }

  it('does not wait for the greeting of a frozen guest that has lost the connection', async () => {
    const forgotten: Socket[] = [];
    await using vsock = await new ScriptedVsock((socket, attempt) => {
      // Firecracker says that it is connected, and the guest knows nothing of it.
      if (attempt < 3) {
        socket.write('OK 1\n');
        forgotten.push(socket);
      } else socket.end(`OK 2\n${GREETING}frames`);
    }).listen();
    assert.equal(await readAll(new VsockLink(vsock.path, 'frozen guest')), 'frames');
    assert.equal(vsock.asked.length, 3);
    await Promise.all(forgotten.map(async (socket) => socket.destroyed || once(socket, 'close')));
  });

  it('ends with the connection, also when that is cut off', async () => {
    await using vsock = await new ScriptedVsock((socket) => {
      // What it has sent and nobody has read is unread when it closes: the kernel resets such a connection.
      socket.pause();
      socket.write(`OK 1\n${GREETING}part`, () => socket.destroy());
    }).listen();
    const link = new VsockLink(vsock.path, 'booting guest');
    link.on('error', () => link.destroy());
    assert.match(await readAll(link), /^(part)?$/);
  });

  it('stops trying when it is destroyed', async () => {
    const link = new VsockLink(join(scratch.path, 'never'), 'booting guest');
    link.destroy();
    await once(link, 'close');
    assert.ok(link.destroyed);
  });
});
