import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { type CompletedExecution } from '../../src/engine/completed.js';
import { COMPLETED, type RunningServer, problemOf, startServer } from './running-server.js';

/** Makes the engine run until its signal aborts; resolves when a run has started. */
function runUntilAborted(running: RunningServer): Promise<AbortSignal> {
  return new Promise((started) => {
    running.engine.behaviour = (signal) => {
      started(signal);
      return new Promise<CompletedExecution>((resolve) => {
        const error = { code: 'canceled', message: 'It was canceled.' } as const;
        signal.addEventListener('abort', () => {
          resolve({ ...COMPLETED, status: 'canceled', exitCode: null, error });
        });
      });
    };
  });
}

function request(running: RunningServer): http.ClientRequest {
  const client = http.request(`${running.url}/run`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json' },
  });
  client.end('{"code":"pass"}');
  return client;
}

describe('a client that goes away', () => {
  it('cancels its run', async () => {
    await using running = await startServer();
    const started = runUntilAborted(running);
    const client = request(running);
    client.on('error', () => {
      // It is we who hang up.
    });
    const signal = await started;
    const aborted = once(signal, 'abort');
    client.destroy();
    await aborted;
    assert.match(String(signal.reason), /went away/u);
  });

  it('cancels only its own run, and only if it goes before the answer', async () => {
    await using running = await startServer();
    const signals: AbortSignal[] = [];
    running.engine.behaviour = (signal) => {
      signals.push(signal);
      return Promise.resolve(COMPLETED);
    };
    for (let run = 0; run < 3; run += 1) {
      const response = await running.post({ code: 'pass' });
      await response.arrayBuffer();
    }
    await running.server.closeGracefully({ graceMs: 0 });
    assert.deepEqual(
      signals.map((signal) => signal.aborted),
      [false, false, false],
    );
  });
});

describe('a graceful end', () => {
  it('lets a running execution end, and its client have the answer', async () => {
    await using running = await startServer();
    const { promise: started, resolve: start } = withResolvers<undefined>();
    const { promise: ended, resolve: end } = withResolvers<CompletedExecution>();
    running.engine.behaviour = () => {
      start(undefined);
      return ended;
    };
    const answer = running.post({ code: 'pass' });
    await started;
    const closed = running.server.closeGracefully({ graceMs: 600_000 });
    end(COMPLETED);
    const response = await answer;
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('connection'), 'close');
    await closed;
  });

  it('cancels what still runs after the grace, answers 503 with the receipt, and closes', async () => {
    await using running = await startServer();
    const started = runUntilAborted(running);
    const answer = running.post({ code: 'pass' });
    const signal = await started;
    await running.server.closeGracefully({ graceMs: 0 });
    assert.match(String(signal.reason), /shutting down/u);
    const problem = await problemOf(await answer);
    assert.deepEqual([problem.status, problem.code], [503, 'canceled']);
    assert.equal(problem['receipt_id'], COMPLETED.receiptId);
  });

  it('can be asked for again, with less patience', async () => {
    await using running = await startServer();
    const started = runUntilAborted(running);
    const answer = running.post({ code: 'pass' });
    await started;
    const patient = running.server.closeGracefully({ graceMs: 600_000 });
    await running.server.closeGracefully({ graceMs: 0 });
    await patient;
    assert.equal((await answer).status, 503);
  });

  it('refuses connections afterwards and leaves none open', async () => {
    const running = await startServer();
    const idle = connect(running.port, '127.0.0.1');
    await once(idle, 'connect');
    const closedByServer = once(idle, 'close');
    idle.resume();
    await running.server.closeGracefully({ graceMs: 0 });
    await closedByServer;
    await assert.rejects(fetch(running.url));
  });

  it('starts nothing for a request that arrives while it waits', async () => {
    await using running = await startServer();
    const started = runUntilAborted(running);
    // Its body arrives only after the server was told to stop.
    const late = http.request(`${running.url}/run`, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json' },
    });
    late.write('{"code":');
    const answer = running.post({ code: 'pass' });
    await started;
    const closed = running.server.closeGracefully({ graceMs: 600_000 });
    const responded = once(late, 'response');
    late.end('"pass"}');
    const [response] = (await responded) as [http.IncomingMessage];
    response.resume();
    assert.equal(response.statusCode, 503);
    assert.equal(running.engine.requests.length, 1);
    await running.server.closeGracefully({ graceMs: 0 });
    await closed;
    assert.equal((await answer).status, 503);
  });
});

describe('bodies that are received at the same time', () => {
  it('are bounded in total: the next one is refused with 429 before it is read', async () => {
    await using running = await startServer({ settings: { body_limit_bytes: '100000' } });
    const started = runUntilAborted(running);
    // Without a length each may be as large as the limit, until its end is known.
    const uploads = Array.from({ length: 4 }, () => {
      const upload = http.request(`${running.url}/run`, {
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/json', expect: '100-continue' },
      });
      upload.on('error', () => {
        // They are cut off at the end of the test.
      });
      return upload;
    });
    await Promise.all(uploads.map((upload) => (upload.flushHeaders(), once(upload, 'continue'))));
    const refused = await running.post({ code: 'pass' });
    assert.equal(refused.headers.has('retry-after'), true);
    assert.equal((await problemOf(refused)).status, 429);
    // One that turns out to be small makes room.
    uploads[0]?.end('{"code":"pass"}');
    await started;
    const startedToo = runUntilAborted(running);
    const accepted = running.post({ code: 'pass' });
    await startedToo;
    for (const upload of uploads) upload.destroy();
    await running.server.closeGracefully({ graceMs: 0 });
    assert.equal((await accepted).status, 503);
  });
});

describe('bytes that are no request', () => {
  /** What the server answers to raw bytes. */
  async function answerTo(running: RunningServer, bytes: string): Promise<string> {
    const socket = connect(running.port, '127.0.0.1');
    socket.end(bytes);
    const chunks = (await socket.toArray()) as Buffer[];
    return Buffer.concat(chunks).toString();
  }

  it('are answered with a problem document', async () => {
    await using running = await startServer();
    const answer = await answerTo(running, 'GET / HTTP/1.1\r\nbad header\r\n\r\n');
    assert.match(answer, /^HTTP\/1\.1 400 /u);
    assert.match(answer, /Content-Type: application\/problem\+json/u);
    const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as { code: string };
    assert.equal(body.code, 'invalid_request');
  });

  it('are bounded: a head that is too large is answered with 431', async () => {
    await using running = await startServer();
    const head = `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`;
    assert.match(await answerTo(running, head), /^HTTP\/1\.1 431 /u);
  });
});

describe('a connection', () => {
  /** The server's end of the next connection. */
  async function nextConnection(running: RunningServer): Promise<Socket> {
    const [socket] = (await once(running.server.app.server, 'connection')) as [Socket];
    return socket;
  }

  it('is closed after bytes that are no request, also when the client keeps its side open', async () => {
    await using running = await startServer();
    const accepted = nextConnection(running);
    const client = connect({ port: running.port, host: '127.0.0.1', allowHalfOpen: true });
    client.resume().write('no request\r\n\r\n');
    await once(client, 'end');
    client.write('still no request\r\n\r\n');
    const socket = await accepted;
    if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
    client.destroy();
  });

  it('that the client resets behind its request is no fault of ours', async () => {
    await using running = await startServer();
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const accepted = nextConnection(running);
      const client = connect(running.port, '127.0.0.1');
      await once(client, 'connect');
      const socket = await accepted;
      const body = '{"code":"pass"}';
      const head = `POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
      client.write(`${head}\r\n\r\n${body}`);
      client.resetAndDestroy();
      if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
    }
    await running.server.closeGracefully({ graceMs: 0 });
    assert.doesNotMatch(running.log(), /"level":50/u);
  });
});

describe('listening', () => {
  it('is where the configuration says', async () => {
    await using running = await startServer({ settings: { host: '127.0.0.1' } });
    const address = running.server.app.server.address() as AddressInfo;
    assert.equal(running.url, `http://127.0.0.1:${address.port}`);
  });
});

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolver) => {
    resolve = resolver;
  });
  return { promise, resolve };
}
