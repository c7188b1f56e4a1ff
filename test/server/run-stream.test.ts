import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { GlasshouseError } from '../../src/base/errors.js';
import { type CompletedExecution } from '../../src/engine/completed.js';
import { type ExecutionRequest } from '../../src/engine/request.js';
import { bytesOf, parseEvents, type ReceivedEvent } from './event-reader.js';
import { COMPLETED, EXECUTION_ID, type RunningServer, problemOf, startServer } from './running-server.js';

type Behaviour = RunningServer['engine']['behaviour'];

let running: RunningServer;
before(async () => {
  running = await startServer();
});
after(() => running[Symbol.asyncDispose]());

function post(accept: string, server = running): Promise<Response> {
  return fetch(`${server.url}/run`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept },
    body: '{"code":"pass"}',
  });
}

async function eventsOf(behaviour: Behaviour, server = running): Promise<ReceivedEvent[]> {
  server.engine.behaviour = behaviour;
  const response = await post('text/event-stream', server);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  return parseEvents(await response.text());
}

function start({ onStarted }: ExecutionRequest): void {
  onStarted?.({
    executionId: EXECUTION_ID,
    signal: () => Promise.resolve(),
    kill: () => Promise.resolve(),
  });
}

/** What the listener of the request is given, in order. */
function writing(chunks: readonly (readonly ['stdout' | 'stderr', Uint8Array])[]): Behaviour {
  return async (_signal, request) => {
    start(request);
    for (const [stream, chunk] of chunks) await request.listener?.write(stream, chunk);
    return COMPLETED;
  };
}

/** A request whose answer nobody reads until told to, and the server's end of it. */
async function unreadRequest(
  server = running,
): Promise<{ client: http.ClientRequest; response: ServerResponse }> {
  const client = http.request(`${server.url}/run`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
  });
  client.on('error', () => {
    // It is we who hang up.
  });
  const seen = once(server.server.app.server, 'request') as Promise<[IncomingMessage, ServerResponse]>;
  client.end('{"code":"pass"}');
  const [, response] = await seen;
  return { client, response };
}

describe('an event stream', () => {
  it('has what happens in order, and the plain answer in the end', async () => {
    const events = await eventsOf(async (_signal, request) => {
      request.onQueued?.(3);
      start(request);
      await request.listener?.write('stdout', Buffer.from('4\n'));
      await request.listener?.write('stderr', Buffer.from('ü'));
      await request.listener?.write('stdout', Buffer.from([0xff, 0]));
      return COMPLETED;
    });
    const plain = (await (await post('application/json')).json()) as Record<string, unknown>;
    assert.deepEqual(events, [
      { event: 'queued', data: { waiting: 3 } },
      { event: 'started', data: { execution_id: EXECUTION_ID } },
      { event: 'stdout', data: { offset: 0, encoding: 'utf8', data: '4\n' } },
      { event: 'stderr', data: { offset: 0, encoding: 'utf8', data: 'ü' } },
      { event: 'stdout', data: { offset: 2, encoding: 'base64', data: '/wA=' } },
      { event: 'result', data: plain },
    ]);
  });

  it('carries any bytes, however they are cut', async () => {
    const chunks = fc.array(
      fc.tuple(fc.constantFrom('stdout' as const, 'stderr' as const), fc.uint8Array({ minLength: 1 })),
      { maxLength: 20 },
    );
    const texts = fc.string({ unit: 'binary', maxLength: 40 }).map((text) => Buffer.from(text));
    const lines = fc.array(fc.tuple(fc.constant('stdout' as const), texts), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(fc.oneof(chunks, lines), async (written) => {
        const events = await eventsOf(writing(written));
        for (const stream of ['stdout', 'stderr'] as const) {
          const expected = Buffer.concat(
            written.filter(([name]) => name === stream).map(([, chunk]) => chunk),
          );
          assert.deepEqual(bytesOf(events, stream), expected);
        }
        assert.equal(events.at(-1)?.event, 'result');
      }),
      { numRuns: 60 },
    );
  });

  it('says first that the program runs, also when its output is there before', async () => {
    const events = await eventsOf(async (_signal, request) => {
      const written = request.listener?.write('stdout', Buffer.from('early'));
      start(request);
      await written;
      return COMPLETED;
    });
    assert.deepEqual(
      events.map(({ event }) => event),
      ['started', 'stdout', 'result'],
    );
  });

  it('takes a copy of output that lies in a buffer that is used again', async () => {
    const events = await eventsOf(async (_signal, request) => {
      const buffer = Buffer.from('good');
      const written = request.listener?.write('stdout', buffer);
      buffer.fill('x');
      start(request);
      await written;
      return COMPLETED;
    });
    assert.equal(bytesOf(events, 'stdout').toString(), 'good');
  });

  it('has the headers that every answer has', async () => {
    running.engine.behaviour = () => Promise.resolve(COMPLETED);
    const response = await post('text/event-stream');
    await response.arrayBuffer();
    assert.equal(response.headers.get('cache-control'), 'no-store');
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
    assert.match(response.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/u);
  });

  it('shows that it lives while nothing happens', async () => {
    await using beating = await startServer({ settings: { stream_heartbeat_ms: '10' } });
    const { promise, resolve } = withResolvers();
    beating.engine.behaviour = () => promise.then(() => COMPLETED);
    const response = await post('text/event-stream', beating);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const first = await reader.read();
    assert.match(Buffer.from(first.value ?? []).toString(), /^(: heartbeat\n\n)+$/u);
    resolve();
    let rest = '';
    for (let next = await reader.read(); !next.done; next = await reader.read())
      rest += Buffer.from(next.value).toString();
    assert.equal(parseEvents(rest).at(-1)?.event, 'result');
  });
});

describe('a run that fails', () => {
  it('before anything was sent is answered as without a stream', async () => {
    running.engine.behaviour = () =>
      Promise.reject(new GlasshouseError('overloaded', 'The queue is full.', { retryAfterMs: 4200 }));
    const response = await post('text/event-stream');
    assert.equal(response.headers.get('retry-after'), '5');
    assert.equal((await problemOf(response)).status, 429);
  });

  it('after it was queued ends the stream with the problem document', async () => {
    const events = await eventsOf((_signal, request) => {
      request.onQueued?.(1);
      return Promise.reject(new GlasshouseError('queue_timeout', 'It was not its turn.'));
    });
    assert.deepEqual(
      events.map(({ event }) => event),
      ['queued', 'problem'],
    );
    const { code, status, detail } = events[1]?.data ?? {};
    assert.deepEqual([code, status, detail], ['queue_timeout', 503, 'It was not its turn.']);
  });

  it('through no fault of the program ends the stream with a problem that names the receipt', async () => {
    const error = { code: 'guest_lost', message: 'The guest ended.' } as const;
    const events = await eventsOf((_signal, request) => {
      start(request);
      return Promise.resolve({ ...COMPLETED, status: 'infra_error', error });
    });
    const last = events.at(-1);
    assert.equal(last?.event, 'problem');
    assert.deepEqual([last.data['code'], last.data['receipt_id']], ['guest_lost', COMPLETED.receiptId]);
  });

  it('through a defect of ours tells nobody about its insides', async () => {
    const events = await eventsOf((_signal, request) => {
      start(request);
      return Promise.reject(new TypeError('secret insides'));
    });
    assert.equal(events.at(-1)?.data['code'], 'internal');
    assert.doesNotMatch(JSON.stringify(events), /secret insides/u);
    assert.match(running.log(), /secret insides/u);
  });

  it('in the boot, before a stream began, has the status of its problem', async () => {
    const error = { code: 'image_missing', message: 'Build it.' } as const;
    running.engine.behaviour = () => Promise.resolve({ ...COMPLETED, status: 'infra_error', error });
    assert.equal((await problemOf(await post('text/event-stream'))).status, 503);
  });
});

describe('the Accept header', () => {
  const cases: readonly (readonly [string, boolean])[] = [
    ['text/event-stream', true],
    ['Text/Event-Stream', true],
    ['text/event-stream;charset=utf-8', true],
    ['text/event-stream, */*', true],
    ['text/event-stream, application/json;q=0.9', true],
    ['text/event-stream;q=0.5, text/html', true],
    ['application/json, text/event-stream', false],
    ['application/json, text/event-stream;q=0.9', false],
    ['text/event-stream;q=0.1, application/json', false],
    ['text/event-stream;q=0', false],
    ['text/event-stream;q=nonsense', false],
    ['text/*', false],
    ['*/*', false],
    ['text/html', false],
    ['', false],
    [';;;,,,', false],
  ];
  for (const [accept, streamed] of cases) {
    it(`${JSON.stringify(accept)} asks for ${streamed ? 'events' : 'JSON'}`, async () => {
      running.engine.behaviour = () => Promise.resolve(COMPLETED);
      const response = await post(accept);
      await response.arrayBuffer();
      const type = streamed ? 'text/event-stream' : 'application/json; charset=utf-8';
      assert.equal(response.headers.get('content-type'), type);
    });
  }
});

describe('a client that does not read', () => {
  const CHUNK = Buffer.alloc(64 * 1024, 'x');
  /** More than the buffers of two sockets ever hold. */
  const FLOOD_CHUNKS = 4096;

  /** Writes as much as the listener takes; counts what it took. */
  function flooding(taken: { chunks: number }): Behaviour {
    return async (signal, request) => {
      start(request);
      const aborted = once(signal, 'abort');
      for (let index = 0; index < FLOOD_CHUNKS; index += 1) {
        const written = request.listener?.write('stdout', CHUNK).then(() => (taken.chunks += 1));
        if ((await Promise.race([written, aborted])) instanceof Array) break;
      }
      return { ...COMPLETED, status: 'canceled' };
    };
  }

  /** Resolves when the server holds as much for the client as it will take. */
  async function congested(response: ServerResponse): Promise<void> {
    while (!response.writableNeedDrain) await new Promise(setImmediate);
  }

  it('makes the program wait and the server hold next to nothing; reading makes it go on', async () => {
    const taken = { chunks: 0 };
    running.engine.behaviour = flooding(taken);
    const { client, response } = await unreadRequest();
    let most = 0;
    response.on('drain', () => (most = Math.max(most, response.writableLength)));
    const [answer] = (await once(client, 'response')) as [IncomingMessage];
    answer.pause();
    await congested(response);
    assert.ok(response.writableLength < 2 * CHUNK.length, String(response.writableLength));
    assert.ok(taken.chunks < FLOOD_CHUNKS);
    let bytes = 0;
    for await (const chunk of answer) bytes += (chunk as Buffer).length;
    assert.equal(taken.chunks, FLOOD_CHUNKS);
    assert.ok(bytes > FLOOD_CHUNKS * CHUNK.length);
    assert.ok(most < 2 * CHUNK.length);
  });

  it('is let go of when its program is interrupted, and finds the result all the same', async () => {
    let holding = 0;
    const { promise: interrupt, resolve } = withResolvers();
    running.engine.behaviour = async (_signal, request) => {
      start(request);
      void interrupt.then(() => request.onInterrupted?.());
      for (let index = 0; index < FLOOD_CHUNKS; index += 1) await request.listener?.write('stdout', CHUNK);
      holding = response.writableLength;
      return COMPLETED;
    };
    const { client, response } = await unreadRequest();
    const [answer] = (await once(client, 'response')) as [IncomingMessage];
    answer.pause();
    await congested(response);
    resolve();
    let text = '';
    for await (const chunk of answer) text += String(chunk);
    assert.ok(holding < 2 * CHUNK.length, String(holding));
    const events = parseEvents(text);
    assert.equal(events.at(-1)?.event, 'result');
    assert.ok(events.length < FLOOD_CHUNKS, 'what it could not take is left out');
  });

  it('cancels its run by going away', async () => {
    const taken = { chunks: 0 };
    const { promise: canceled, resolve } = withResolvers();
    const flood = flooding(taken);
    running.engine.behaviour = (signal, request) => {
      signal.addEventListener('abort', () => {
        resolve();
      });
      return flood(signal, request);
    };
    const { client, response } = await unreadRequest();
    const [answer] = (await once(client, 'response')) as [IncomingMessage];
    answer.pause();
    await congested(response);
    client.destroy();
    await canceled;
    assert.ok(taken.chunks < FLOOD_CHUNKS);
  });

  it('gets no heartbeats on top', async () => {
    await using beating = await startServer({ settings: { stream_heartbeat_ms: '10' } });
    beating.engine.behaviour = flooding({ chunks: 0 });
    const { client, response } = await unreadRequest(beating);
    const [answer] = (await once(client, 'response')) as [IncomingMessage];
    answer.pause();
    await congested(response);
    const held = response.writableLength;
    // Beats of another stream tell that there was time for some on this one.
    beating.engine.behaviour = (signal) => once(signal, 'abort').then(() => COMPLETED);
    const clock = await post('text/event-stream', beating);
    let beats = '';
    for await (const chunk of clock.body as ReadableStream<Uint8Array>) {
      beats += Buffer.from(chunk).toString();
      if (beats.split('heartbeat').length > 5) break;
    }
    assert.ok(response.writableLength <= held);
    client.destroy();
  });
});

describe('a server that stops', () => {
  it('ends the stream of a run that it cancels with a problem', async () => {
    await using stopping = await startServer();
    const events = eventsOf(
      (signal, request) =>
        new Promise<CompletedExecution>((resolve) => {
          start(request);
          const error = { code: 'canceled', message: 'It was canceled.' } as const;
          signal.addEventListener('abort', () => {
            resolve({ ...COMPLETED, status: 'canceled', error });
          });
        }),
      stopping,
    );
    await once(stopping.server.app.server, 'request');
    while (stopping.engine.requests.length === 0) await new Promise(setImmediate);
    await stopping.server.closeGracefully({ graceMs: 0 });
    assert.deepEqual(
      (await events).map(({ event }) => event),
      ['started', 'problem'],
    );
  });
});

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((resolveIt) => (resolve = resolveIt));
  return { promise, resolve };
}
