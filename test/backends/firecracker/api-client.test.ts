import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { changeState, startInstance } from '../../../src/backends/firecracker/api-actions.js';
import { FirecrackerApi } from '../../../src/backends/firecracker/api-client.js';
import { ScratchDirectory } from '../../contract/subject.js';
import { type Answer, ScriptedApi } from './scripted-api.js';

const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

let sockets = 0;
const newSocket = (): string => join(scratch.path, `api-${(sockets += 1)}`);

/** Asks `act` of an API that answers as said. */
async function withApi(answer: Answer, act: (api: FirecrackerApi) => Promise<unknown>): Promise<void> {
  const socketPath = newSocket();
  await using _server = await ScriptedApi.listen(socketPath, answer);
  using api = new FirecrackerApi(socketPath, new AbortController().signal);
  await act(api);
}

/** The same of something that may not even speak HTTP. `sockets`: its ends of the connections. */
async function withSocket(
  serve: (socket: Socket) => unknown,
  act: (api: FirecrackerApi, sockets: readonly Socket[]) => Promise<unknown>,
): Promise<void> {
  const socketPath = newSocket();
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => undefined));
    serve(socket);
  }).listen(socketPath);
  await once(server, 'listening');
  try {
    using api = new FirecrackerApi(socketPath, new AbortController().signal);
    await act(api, sockets);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  }
}

const refuse =
  (status: number, body: string): Answer =>
  (_request, response) => {
    response.writeHead(status).end(body);
  };

describe('the client of an API', { timeout: 60_000 }, () => {
  it('sends method, path and body of an action', async () => {
    const seen: string[] = [];
    await withApi(
      (request, response) => {
        request.setEncoding('utf8').on('data', (text: string) => seen.push(text));
        request.on('end', () => {
          seen.unshift(`${request.method} ${request.url} ${request.headers['content-type']}`);
          response.writeHead(204).end();
        });
      },
      (api) => api.perform(changeState('Paused')),
    );
    assert.deepEqual(seen, ['PATCH /vm application/json', '{"state":"Paused"}']);
  });

  it('makes no other connection once it is sealed: who has taken a machine over may wait where its API was', async () => {
    const socketPath = newSocket();
    let connections = 0;
    let isLast = false;
    await using server = await ScriptedApi.listen(socketPath, (_request, response) => {
      if (isLast) response.setHeader('Connection', 'close');
      response.writeHead(204).end();
    });
    server.onConnection = () => (connections += 1);
    using api = new FirecrackerApi(socketPath, new AbortController().signal);
    await api.perform(startInstance());
    api.seal();
    isLast = true;
    await api.perform(changeState('Paused'));
    for (let attempt = 0; attempt < 2; attempt += 1)
      await assert.rejects(api.perform(changeState('Resumed')), {
        code: 'vmm_failed',
        message: /has closed the connection/,
      });
    assert.equal(connections, 1);
  });

  for (const [what, text] of [
    ['offers another protocol', 'HTTP/1.1 101 Other\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n'],
    ['says nothing', ''],
    ['announces an answer that never comes', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['never comes to the end of its head', 'HTTP/1.1 204 No Content\r\n'],
    ['never comes to the end of its body', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{'],
    ['speaks no HTTP', '\u0000\u0000\u0000\n'],
  ] as const)
    it(`is done with an API that ${what}`, async () => {
      await withSocket(
        (socket) => socket.once('data', () => socket.write(text)),
        (api) => assert.rejects(api.perform({ ...startInstance(), timeoutMs: 200 }), { code: 'vmm_failed' }),
      );
    });

  it('gives its connection up when something comes over it that nobody has asked for', async () => {
    const answer = 'HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n';
    await withSocket(
      (socket) => socket.on('data', () => socket.write(answer)),
      async (api, sockets) => {
        for (let request = 0; request < 3; request += 1) await api.perform(changeState('Paused'));
        api.seal();
        const [connection, ...others] = sockets;
        assert.ok(connection !== undefined && others.length === 0);
        const closed = once(connection, 'close');
        connection.write(answer);
        await closed;
        await assert.rejects(api.perform(changeState('Resumed')), { message: /has closed the connection/ });
      },
    );
  });

  it('says what the fault was when it is refused', async () => {
    await withApi(refuse(400, '{"fault_message":"not now"}'), (api) =>
      assert.rejects(api.perform(startInstance()), {
        code: 'vmm_failed',
        message: 'Firecracker refused PUT /actions (400): not now',
      }),
    );
  });

  it('makes hostile words of a fault printable and short', async () => {
    const fault = JSON.stringify({ fault_message: `\u001b[31m${'x'.repeat(10_000)}\u0007` });
    await withApi(refuse(400, fault), (api) =>
      assert.rejects(api.perform(startInstance()), ({ message }: Error) => {
        assert.ok(message.length < 700 && message.endsWith('\\u{7}'));
        return true;
      }),
    );
  });

  it('knows a full disk by its name', async () => {
    await withApi(
      refuse(400, '{"fault_message":"Cannot write: No space left on device (os error 28)"}'),
      (api) => assert.rejects(api.perform(startInstance()), { code: 'disk_full' }),
    );
  });

  for (const [what, body] of [
    ['no JSON', '<html>'],
    ['no object', 'null'],
    ['a fault that is no text', '{"fault_message":[1]}'],
    ['nothing', ''],
  ] as const) {
    it(`takes a refusal with ${what} for a refusal`, async () => {
      await withApi(refuse(500, body), (api) =>
        assert.rejects(api.perform(startInstance()), { code: 'vmm_failed', message: /\(500\)/ }),
      );
    });
  }

  it('ends an answer without end', async () => {
    await withApi(
      (_request, response) => {
        const more = (): void => {
          while (response.write('x'.repeat(65_536)));
          response.once('drain', more);
        };
        more();
      },
      (api) =>
        assert.rejects(api.perform(startInstance()), { code: 'vmm_failed', message: /answer without end/ }),
    );
  });

  it('waits no longer than an action may take', async () => {
    await withApi(
      () => undefined,
      (api) =>
        assert.rejects(api.perform({ ...startInstance(), timeoutMs: 50 }), {
          code: 'vmm_failed',
          message: 'Firecracker did not answer PUT /actions within 0.05 s.',
        }),
    );
  });

  it('does not wait for a process that has ended', async () => {
    const socketPath = newSocket();
    const ended = new AbortController();
    await using _server = await ScriptedApi.listen(socketPath, () => {
      ended.abort();
    });
    using api = new FirecrackerApi(socketPath, ended.signal);
    await assert.rejects(api.perform(startInstance()), { code: 'vmm_failed', message: /it has ended/ });
  });

  it('waits for an API that is not there yet', async () => {
    const socketPath = newSocket();
    using api = new FirecrackerApi(socketPath, new AbortController().signal);
    const version = api.awaitReady(30_000);
    await using _server = await ScriptedApi.listen(
      socketPath,
      refuse(200, '{"firecracker_version":"1.16.1"}'),
    );
    assert.equal(await version, '1.16.1');
  });

  for (const timeoutMs of [20, 0])
    it(`gives up on an API that never comes, when it may take ${timeoutMs} ms`, async () => {
      using api = new FirecrackerApi(newSocket(), new AbortController().signal);
      await assert.rejects(api.awaitReady(timeoutMs), {
        code: 'vmm_failed',
        message: /did not open its API/,
      });
    });

  it('gives up on a stale socket that nobody listens to', async () => {
    const socketPath = newSocket();
    {
      // Node.js removes the socket when its server closes; a process that is killed does not.
      const { spawnSync } = await import('node:child_process');
      const script = `require('node:net').createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, 'SIGKILL'))`;
      spawnSync(process.execPath, ['-e', script]);
    }
    using api = new FirecrackerApi(socketPath, new AbortController().signal);
    await assert.rejects(api.awaitReady(20), { code: 'vmm_failed', message: /did not open its API/ });
  });
});
