import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http, { type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { type AdmissionLimits } from '../../src/engine/admission.js';
import { type ExecutionRequest } from '../../src/engine/request.js';
import { markedProcesses, ScratchDirectory } from '../contract/subject.js';
import { bytesOf, parseEvents, type ReceivedEvent } from './event-reader.js';
import { ShellEngine } from './real-engine.js';
import { problemOf, type RunningServer, startServerOver } from './running-server.js';

/** A server over a real engine that runs shell scripts on this machine. */
class WholeServer implements AsyncDisposable {
  readonly #scratch: ScratchDirectory;
  readonly #running: RunningServer<ShellEngine>;

  private constructor(scratch: ScratchDirectory, running: RunningServer<ShellEngine>) {
    this.#scratch = scratch;
    this.#running = running;
  }

  static async start(
    limits: Partial<AdmissionLimits> = {},
    changes: Partial<ExecutionRequest> = {},
  ): Promise<WholeServer> {
    const scratch = new ScratchDirectory();
    return new WholeServer(scratch, await startServerOver(new ShellEngine(scratch, limits, changes)));
  }

  get engine(): ShellEngine {
    return this.#running.engine;
  }

  get receipts(): number {
    return this.engine.store.list({ limit: 200, before: null }).length;
  }

  /** The path of a file that does not exist yet. */
  file(name: string): string {
    return join(this.#scratch.make('files'), name);
  }

  post(body: object, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(`${this.#running.url}/run`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  }

  /** Over a connection of its own; `from` is a loopback address, another client for each. */
  request(body: object, from = '127.0.0.1'): http.ClientRequest {
    const client = http.request(`${this.#running.url}/run`, {
      method: 'POST',
      agent: false,
      localAddress: from,
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    });
    client.on('error', () => {
      // Some hang up on purpose; the others wait for an answer.
    });
    client.end(JSON.stringify(body));
    return client;
  }

  async metrics(): Promise<string> {
    return (await fetch(`${this.#running.url}/metrics`)).text();
  }

  /** Resolves when so many executions wait. */
  async queued(count: number): Promise<void> {
    while (this.engine.load.queued !== count) await new Promise(setImmediate);
  }

  async idle(): Promise<void> {
    while (this.engine.load.running > 0 || this.engine.load.queued > 0) await new Promise(setImmediate);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running[Symbol.asyncDispose]();
    this.engine[Symbol.dispose]();
    this.#scratch[Symbol.dispose]();
  }
}

const STREAM = { accept: 'text/event-stream' };

/** Runs until the file exists. */
function until(file: string): string {
  return `until [ -e '${file}' ]; do sleep 0.01; done`;
}

async function eventsOf(answer: IncomingMessage): Promise<ReceivedEvent[]> {
  let text = '';
  for await (const chunk of answer) text += String(chunk);
  return parseEvents(text);
}

describe('a streamed run', () => {
  let server: WholeServer;
  before(async () => {
    server = await WholeServer.start();
  });
  after(() => server[Symbol.asyncDispose]());

  it('shows output while the program runs', async () => {
    const go = server.file('go');
    const client = server.request({ code: `echo one; ${until(go)}; echo two >&2` });
    const [answer] = (await once(client, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of answer) {
      text += String(chunk);
      // The program ends only because we have seen its first line.
      if (text.includes('"one\\n"')) writeFileSync(go, '');
    }
    const events = parseEvents(text);
    assert.deepEqual(
      events.map(({ event }) => event),
      ['started', 'stdout', 'stderr', 'result'],
    );
    const result = events.at(-1)?.data ?? {};
    assert.deepEqual([result['status'], result['stdout'], result['stderr']], ['ok', 'one\n', 'two\n']);
    assert.equal(events[0]?.data['execution_id'], result['execution_id']);
  });

  it('that writes too much ends as it would without a stream', async () => {
    const body = { code: 'yes', limits: { output_bytes: 100_000 } };
    const events = parseEvents(await (await server.post(body, STREAM)).text());
    const plain = (await (await server.post(body)).json()) as Record<string, unknown>;
    const result = events.at(-1)?.data ?? {};
    for (const field of ['status', 'stdout', 'stdout_bytes', 'stdout_truncated'])
      assert.equal(result[field], plain[field], field);
    assert.deepEqual([result['status'], result['stdout_bytes']], ['output_limit', 100_000]);
    assert.ok(String(result['stdout']).startsWith(bytesOf(events, 'stdout').toString()));
  });

  it('is canceled by a client that goes away, and nothing of it is left', async () => {
    const client = server.request({ code: 'echo; exec sleep 1000', timeout_ms: 300_000 });
    const [answer] = (await once(client, 'response')) as [IncomingMessage];
    const [chunk] = (await once(answer, 'data')) as [Buffer];
    const executionId = /"execution_id":"([^"]+)"/u.exec(String(chunk))?.[1] ?? '';
    assert.equal(markedProcesses(executionId).length, 1);
    client.destroy();
    await server.idle();
    assert.deepEqual(markedProcesses(executionId), []);
    const [receipt] = server.engine.store.list({ limit: 1, before: null });
    assert.deepEqual([receipt?.executionId, receipt?.status], [executionId, 'canceled']);
  });
});

describe('a client that does not read what a program floods it with', () => {
  /** What two sockets and their ends may hold; the program alone would write gigabytes in its time. */
  const MOST_BYTES = 64 * 1024 * 1024;

  it('makes the program wait; its deadline ends it, and the answer is whole', async () => {
    const capture = { keepBytes: 1 << 20, endAfterBytes: null };
    await using server = await WholeServer.start({}, { capture });
    const client = server.request({ code: 'yes', timeout_ms: 1500 });
    const [answer] = (await once(client, 'response')) as [IncomingMessage];
    answer.pause();
    await server.idle();
    const { status, stdout_bytes: bytes } = (await eventsOf(answer)).at(-1)?.data ?? {};
    assert.equal(status, 'timeout');
    assert.ok(Number(bytes) < MOST_BYTES, `${String(bytes)} bytes`);
  });

  it('ends the program by going away', async () => {
    const capture = { keepBytes: 1 << 20, endAfterBytes: null };
    await using server = await WholeServer.start({}, { capture });
    const client = server.request({ code: 'yes', timeout_ms: 300_000 });
    const [answer] = (await once(client, 'response')) as [IncomingMessage];
    answer.pause();
    client.destroy();
    await server.idle();
    const [receipt] = server.engine.store.list({ limit: 1, before: null });
    assert.equal(receipt?.status, 'canceled');
  });
});

describe('a server with more to do than it can', () => {
  it('tells who waits, and starts nothing for who goes away meanwhile', async () => {
    await using server = await WholeServer.start({ maxConcurrent: 1 });
    const go = server.file('go');
    const first = server.post({ code: until(go) });
    while (server.engine.load.running === 0) await new Promise(setImmediate);
    const impatient = server.request({ code: 'echo never' });
    const [answer] = (await once(impatient, 'response')) as [IncomingMessage];
    const [chunk] = (await once(answer, 'data')) as [Buffer];
    assert.equal(String(chunk), 'event: queued\ndata: {"waiting":1}\n\n');
    impatient.destroy();
    await server.queued(0);
    writeFileSync(go, '');
    assert.equal((await first).status, 200);
    assert.equal(server.receipts, 1);
    assert.match(await server.metrics(), /^glasshouse_executions_refused_total\{code="canceled"\} 1$/mu);
  });

  it('says truthfully how long a run waited', async () => {
    await using server = await WholeServer.start({ maxConcurrent: 1 });
    const go = server.file('go');
    const first = server.post({ code: until(go) });
    while (server.engine.load.running === 0) await new Promise(setImmediate);
    const askedAt = performance.now();
    const second = server.post({ code: 'true' });
    await server.queued(1);
    const seenAt = performance.now();
    // Any time will do: it waits at least as long as we do here.
    await new Promise((resolve) => setTimeout(resolve, 20));
    const waitedMs = performance.now() - seenAt;
    writeFileSync(go, '');
    const { timings } = (await (await second).json()) as Timed;
    const elapsedMs = performance.now() - askedAt;
    assert.ok(timings.queue_ms >= waitedMs - 1 && timings.queue_ms <= elapsedMs, String(timings.queue_ms));
    assert.equal((await first).status, 200);
  });

  it('refuses with 429 and Retry-After what does not fit into the queue', async () => {
    await using server = await WholeServer.start({ maxConcurrent: 1, maxQueued: 1 });
    const go = server.file('go');
    const first = server.post({ code: until(go) });
    while (server.engine.load.running === 0) await new Promise(setImmediate);
    const second = server.post({ code: 'echo second' });
    await server.queued(1);
    const refused = await server.post({ code: 'echo third' }, STREAM);
    assert.match(refused.headers.get('retry-after') ?? '', /^[1-9][0-9]*$/u);
    assert.equal((await problemOf(refused)).code, 'overloaded');
    writeFileSync(go, '');
    assert.deepEqual([(await first).status, (await second).status], [200, 200]);
  });

  it('lets clients take turns, whoever came first with however many', async () => {
    await using server = await WholeServer.start({ maxConcurrent: 1 });
    const go = server.file('go');
    const order = server.file('order');
    const first = server.post({ code: until(go) });
    while (server.engine.load.running === 0) await new Promise(setImmediate);
    const answers: Promise<unknown>[] = [];
    const ask = async (name: string, from: string): Promise<void> => {
      const queued = server.engine.load.queued;
      const client = server.request({ code: `echo ${name} >> '${order}'; cat '${order}'` }, from);
      answers.push(once(client, 'response').then(([answer]) => eventsOf(answer as IncomingMessage)));
      await server.queued(queued + 1);
    };
    for (let index = 0; index < 10; index += 1) await ask('greedy', '127.0.0.2');
    await ask('modest', '127.0.0.3');
    writeFileSync(go, '');
    await first;
    const all = (await Promise.all(answers)) as ReceivedEvent[][];
    const [modest] = all.slice(-1).map((events) => bytesOf(events, 'stdout').toString());
    assert.equal(modest, 'greedy\nmodest\n');
  });

  it('gives up a wait whose deadline passes: nothing is started', async () => {
    await using server = await WholeServer.start({ maxConcurrent: 1 });
    const go = server.file('go');
    const first = server.post({ code: until(go) });
    while (server.engine.load.running === 0) await new Promise(setImmediate);
    const late = await server.post({ code: 'echo late', deadline_ms: 20 });
    assert.match(late.headers.get('retry-after') ?? '', /^[1-9][0-9]*$/u);
    const { status, code } = await problemOf(late);
    assert.deepEqual([status, code], [503, 'deadline_exceeded']);
    writeFileSync(go, '');
    await first;
    assert.equal(server.receipts, 1);
  });

  it('refuses at once what needs more memory than there is for all', async () => {
    await using server = await WholeServer.start({ memoryMb: 200 });
    const refused = await problemOf(await server.post({ code: 'true', limits: { memory_mb: 300 } }));
    assert.deepEqual(
      [refused.status, refused.code, refused.field],
      [422, 'limit_exceeded', 'limits.memory_mb'],
    );
    assert.equal((await server.post({ code: 'true', limits: { memory_mb: 200 } })).status, 200);
  });

  it('runs no more than memory allows', async () => {
    await using server = await WholeServer.start({ memoryMb: 300 });
    const go = server.file('go');
    const bodies = [1, 2, 3, 4].map(() => ({ code: until(go), limits: { memory_mb: 120 } }));
    const answers = bodies.map((body) => server.post(body));
    await server.queued(2);
    assert.deepEqual([server.engine.load.running, server.engine.load.memoryMb], [2, 240]);
    const text = await server.metrics();
    assert.match(text, /^glasshouse_queue_length 2$/mu);
    assert.match(text, /^glasshouse_executions_in_flight 2$/mu);
    assert.match(text, new RegExp(`^glasshouse_memory_in_use_bytes ${240 * 1024 * 1024}$`, 'mu'));
    writeFileSync(go, '');
    for (const answer of answers) assert.equal((await answer).status, 200);
  });
});

describe('the deadline of a request', () => {
  it('ends a program that runs as a timeout, and says which time was over', async () => {
    await using server = await WholeServer.start();
    const answer = (await (
      await server.post({ code: 'exec sleep 1000', deadline_ms: 300, timeout_ms: 300_000 })
    ).json()) as { status: string; error: { code: string } };
    assert.deepEqual([answer.status, answer.error.code], ['timeout', 'deadline_exceeded']);
  });
});

interface Timed {
  readonly timings: { readonly queue_ms: number };
}
