import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { type CompletedExecution } from '../../src/engine/completed.js';
import { COMPLETED, type RunningServer, startServer } from './running-server.js';

/** What is sent in one packet. */
function run(code: string): string {
  const body = JSON.stringify({ code });
  return `${runHead(body.length)}${body}`;
}

function runHead(contentLength: number): string {
  return `POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${contentLength}\r\n\r\n`;
}

interface Begun {
  readonly code: string;
  readonly signal: AbortSignal;
  end(): void;
}

/** Hands out each run when it begins; it ends when it is told to, or when its signal aborts. */
class Runs {
  readonly begun: Begun[] = [];
  #onBegin: () => void = () => undefined;

  constructor(running: RunningServer) {
    running.engine.behaviour = (signal, { program }) =>
      new Promise<CompletedExecution>((resolve) => {
        const end = (): void => {
          resolve(COMPLETED);
        };
        signal.addEventListener('abort', end);
        const code = 'code' in program ? program.code : '';
        this.begun.push({ code, signal, end });
        this.#onBegin();
      });
  }

  async nth(index: number): Promise<Begun> {
    for (;;) {
      const run = this.begun[index];
      if (run !== undefined) return run;
      await new Promise<void>((resolve) => (this.#onBegin = resolve));
    }
  }

  get codes(): readonly string[] {
    return this.begun.map(({ code }) => code);
  }
}

async function connected(running: RunningServer): Promise<Socket> {
  const socket = connect(running.port, '127.0.0.1');
  socket.on('error', () => {
    // The server may cut it off, which is what some tests are about.
  });
  await once(socket, 'connect');
  return socket;
}

/** Not once(): that takes an error, of which there may be one, for the end. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => {
      resolve();
    });
  });
}

/** Everything that arrives until the server ends the connection. */
async function readToEnd(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await closed(socket);
  return Buffer.concat(chunks).toString();
}

/** Everything that arrives until it has this text in it; ends the connection. */
async function readUntil(socket: Socket, text: string): Promise<string> {
  let received = '';
  for await (const chunk of socket) {
    received += String(chunk);
    if (received.includes(text)) break;
  }
  return received;
}

describe('requests that are sent before the answers to those before them', () => {
  it('are worked on one after the other, and answered in order', async () => {
    await using running = await startServer();
    const runs = new Runs(running);
    const socket = await connected(running);
    const received = readUntil(socket, '"uptime_s"');
    socket.write(run('first') + run('second') + 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    (await runs.nth(0)).end();
    const second = await runs.nth(1);
    assert.deepEqual(runs.codes, ['first', 'second']);
    second.end();
    const answers = await received;
    assert.equal(answers.match(/HTTP\/1\.1 200 OK/gu)?.length, 3);
    assert.match(answers, /"receipt_id".*"receipt_id".*"uptime_s"/su);
  });

  it('are not begun while the one before them runs, and not at all when the client goes', async () => {
    await using running = await startServer();
    const runs = new Runs(running);
    const socket = await connected(running);
    socket.write(run('first') + run('second') + run('third'));
    const { signal } = await runs.nth(0);
    const aborted = once(signal, 'abort');
    socket.destroy();
    await aborted;
    await running.server.closeGracefully({ graceMs: 0 });
    assert.deepEqual(runs.codes, ['first']);
  });

  it('take no room for a body before it is their turn', async () => {
    await using running = await startServer({ settings: { body_limit_bytes: '100000' } });
    const runs = new Runs(running);
    for (let client = 0; client < 4; client += 1) {
      const socket = await connected(running);
      socket.write(run('first') + runHead(100_000));
      const { signal } = await runs.nth(client);
      const aborted = once(signal, 'abort');
      socket.destroy();
      await aborted;
    }
    running.engine.behaviour = () => Promise.resolve(COMPLETED);
    assert.equal((await running.post({ code: '#'.repeat(90_000) })).status, 200);
  });

  it('are bounded: one too many ends the connection', async () => {
    await using running = await startServer();
    const runs = new Runs(running);
    const socket = await connected(running);
    const received = readToEnd(socket);
    socket.write(Array.from({ length: 18 }, () => run('again')).join(''));
    assert.equal(await received, '');
    // The first may have begun or not; none of the others has.
    await running.server.closeGracefully({ graceMs: 0 });
    assert.ok(runs.codes.length <= 1);
    assert.ok(runs.begun.every(({ signal }) => signal.aborted));
  });

  it('do not lend their faults to the answer before them, also in one packet', async () => {
    await using running = await startServer();
    const runs = new Runs(running);
    for (const sent of [run('first'), 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n']) {
      const socket = await connected(running);
      const received = readToEnd(socket);
      socket.write(`${sent}no request\r\n\r\n`);
      assert.equal(await received, '');
    }
    await running.server.closeGracefully({ graceMs: 0 });
    assert.ok(runs.begun.every(({ signal }) => signal.aborted));
  });

  it('that do not come in time cost the one before them nothing', async () => {
    await using running = await startServer();
    const runs = new Runs(running);
    const accepted = once(running.server.app.server, 'connection');
    const socket = await connected(running);
    const [serverSide] = (await accepted) as [Socket];
    const received = readToEnd(socket);
    socket.write(`${run('first')}${runHead(100_000)}`);
    const first = await runs.nth(0);
    const { server } = running.server.app;
    const late = Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
    server.emit('clientError', late, serverSide);
    assert.ok(!first.signal.aborted);
    first.end();
    assert.match(await received, /^HTTP\/1\.1 200 OK/u);
  });

  it('do not lend their faults to the answer before them', async () => {
    await using running = await startServer();
    const runs = new Runs(running);
    const socket = await connected(running);
    const received = readToEnd(socket);
    socket.write(run('first'));
    const { signal } = await runs.nth(0);
    socket.write('no request\r\n\r\n');
    assert.equal(await received, '');
    assert.ok(signal.aborted);
  });
});
