import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { type Statement } from '../../src/receipts/receipt.js';
import { ended, Installation, withOneByteChanged } from '../cli/command-line.js';
import { bytesOf, parseEvents } from '../server/event-reader.js';
import { ServerProcess, spawnServer, until } from './server-process.js';
import { assertNothingLeft, ENDLESS, outcomes, TIME_LIMIT, type Problem } from './server-support.js';

function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('a server', TIME_LIMIT, () => {
  const installation = new Installation();
  let server: ServerProcess;
  before(async () => {
    server = await ServerProcess.start(installation, ['--inline-file-bytes', '4096']);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    installation[Symbol.dispose]();
  });

  it('runs print(2+2)', async () => {
    const answer = await server.answer({ code: 'print(2+2)' });
    assert.deepEqual(
      [answer.status, answer.exit_code, answer.signal, answer.stdout, answer.stderr],
      ['ok', 0, null, '4\n', ''],
    );
    assert.deepEqual([answer.files, answer.files_complete], [[], true]);
  });

  it('passes arguments, stdin, environment and files on to the program', async () => {
    const code = [
      'import sys, os, json, hashlib',
      'print(json.dumps({',
      '  "args": sys.argv[1:], "stdin": sys.stdin.read(), "env": os.environ["WORD"],',
      '  "text": open("dir/ünï.txt").read(), "binary": hashlib.sha256(open("b.bin","rb").read()).hexdigest(),',
      '  "executable": os.access("tool.sh", os.X_OK), "cwd": os.getcwd(), "root": os.getuid() == 0}))',
    ].join('\n');
    const binary = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
    const answer = await server.answer({
      code,
      args: ['one', 'two words', '', 'ä'],
      stdin: 'line\nno end',
      env: { WORD: 'a=b c' },
      files: [
        { path: 'dir/ünï.txt', content: 'grüß' },
        { path: 'b.bin', content: binary.toString('base64'), encoding: 'base64' },
        { path: 'tool.sh', content: '#!/bin/sh\n', executable: true },
      ],
    });
    assert.equal(answer.stderr, '');
    assert.deepEqual(JSON.parse(answer.stdout), {
      args: ['one', 'two words', '', 'ä'],
      stdin: 'line\nno end',
      env: 'a=b c',
      text: 'grüß',
      binary: sha256(binary),
      executable: true,
      cwd: '/workspace',
      root: false,
    });
    assert.deepEqual(answer.files, [], 'what went in and did not change is no output');
  });

  it('gives back the files that the program left: small ones inline, all of them by path', async () => {
    const code = [
      'import os',
      'os.makedirs("a/b")',
      'open("a/b/nested.txt","w").write("nested\\n")',
      'open("binary.bin","wb").write(bytes(range(256)))',
      'open("large.bin","wb").write(b"x" * 3_000_000)',
      'open("sp ace%23.txt","w").write("named")',
    ].join('\n');
    const answer = await server.answer({ code });
    assert.equal(answer.stderr, '');
    const contents: Readonly<Record<string, Buffer>> = {
      'a/b/nested.txt': Buffer.from('nested\n'),
      'binary.bin': Buffer.from(Array.from({ length: 256 }, (_, index) => index)),
      'large.bin': Buffer.alloc(3_000_000, 'x'),
      'sp ace%23.txt': Buffer.from('named'),
    };
    assert.deepEqual(answer.files.map(({ path }) => path).sort(), Object.keys(contents));
    for (const file of answer.files) {
      const bytes = contents[file.path] ?? Buffer.alloc(0);
      assert.deepEqual([file.size, file.sha256], [bytes.length, sha256(bytes)], file.path);
      const inline = file.content === undefined ? null : Buffer.from(file.content, file.encoding as 'utf8');
      assert.deepEqual(inline, file.path === 'large.bin' ? null : bytes);
      const path = file.path.split('/').map(encodeURIComponent).join('/');
      const whole = await server.getBytes(`/receipts/${answer.receipt_id}/files/${path}`);
      assert.ok(whole.equals(bytes), file.path);
    }
    const missing = await fetch(`${server.url}/receipts/${answer.receipt_id}/files/a/b`);
    assert.equal(missing.status, 404);
  });

  it('answers 200 for whatever a program does, with the status that says it', async () => {
    const cases: readonly (readonly [string, object])[] = [
      ['error', { code: 'raise SystemExit(3)' }],
      ['error', { code: 'import os, signal\nos.kill(os.getpid(), signal.SIGKILL)' }],
      ['timeout', { ...ENDLESS, timeout_ms: 500 }],
      ['oom', { code: 'b = []\nwhile True: b.append(bytearray(1 << 20))', timeout_ms: 120_000 }],
      ['output_limit', { code: 'while True: print("x" * 1000)', limits: { output_bytes: 5000 } }],
    ];
    for (const [status, body] of cases) {
      const answer = await server.answer(body);
      assert.equal(answer.status, status, JSON.stringify(body));
      const statement = (await server.getJson(
        `/receipts/${answer.receipt_id}?format=statement`,
      )) as Statement;
      assert.equal(statement.predicate.outcome.status, status);
      assert.equal(statement.predicate.outcome.exit_code, answer.exit_code);
      if (status === 'output_limit')
        assert.deepEqual([answer.stdout_bytes, answer.stdout_truncated], [5000, true]);
    }
  });

  it('starts nothing for a request that it refuses', async () => {
    const before = await outcomes(installation);
    for (const body of [{}, { code: '' }, { code: '1', bogus: 1 }, { code: '1', timeout_ms: 10 ** 9 }]) {
      const response = await server.run(body);
      assert.ok(response.status === 400 || response.status === 422, String(response.status));
      assert.match(response.headers.get('content-type') ?? '', /^application\/problem\+json/);
    }
    assert.deepEqual(await outcomes(installation), before);
  });

  it('gives receipts that verify with the exported public key, and no longer after one byte was changed', async () => {
    const { receipt_id: id, stdout } = await server.answer({ code: 'print("evidence")' });
    const list = (await server.getJson('/receipts?limit=1')) as { receipts: { receipt_id: string }[] };
    assert.equal(list.receipts[0]?.receipt_id, id);
    const bundle = await server.getBytes(`/receipts/${id}`);
    const envelope = await server.getBytes(`/receipts/${id}?format=dsse`);
    const statement = await server.getBytes(`/receipts/${id}?format=statement`);
    assert.equal(sha256(statement), id);
    assert.equal((await server.getBytes(`/receipts/${id}/stdout`)).toString(), stdout);

    const file = (name: string, bytes: Uint8Array | string): string => {
      const path = join(installation.directory, name);
      writeFileSync(path, bytes);
      return path;
    };
    const key = file('key.pem', await installation.ok(['keys', 'show', '--pem']));
    const good = [file('bundle.json', bundle), file('envelope.json', envelope)];
    const output = file('stdout', stdout);
    const nowhere = { environment: { GLASSHOUSE_DATA_DIR: join(installation.directory, 'nowhere') } };
    const verified = await installation.call(['verify', '--key', key, '--stdout', output, ...good], nowhere);
    assert.deepEqual([verified.code, verified.stderr], [0, '']);
    const changed = file('changed.json', withOneByteChanged(bundle));
    assert.equal((await installation.call(['verify', '--key', key, changed], nowhere)).code, 1);
  });

  it('streams what a program writes, and in the end the answer', async () => {
    const code = 'import sys\nprint("grüß")\nsys.stdout.flush()\nsys.stderr.buffer.write(b"\\xff\\x00")';
    const response = await server.stream({ code });
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    const events = parseEvents(await response.text());
    const [first, last] = [events[0], events.at(-1)];
    assert.deepEqual([first?.event, last?.event], ['started', 'result']);
    assert.equal(bytesOf(events, 'stdout').toString(), 'grüß\n');
    assert.deepEqual(bytesOf(events, 'stderr'), Buffer.from([0xff, 0]));
    const { status, stdout, execution_id: id } = last?.data ?? {};
    assert.deepEqual([status, stdout, id], ['ok', 'grüß\n', first?.data['execution_id']]);
  });

  it('makes a guest wait for a client that does not read, and ends it in time all the same', async () => {
    const code = 'import os\nwhile True: os.write(1, b"x" * 65536)';
    const limits = { output_bytes: 16 * 1024 * 1024 };
    const response = await server.stream({ code, timeout_ms: 8000, limits });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    // Nothing is read until the program has been ended.
    await until(() => server.machines().length === 0);
    let text = '';
    for (let next = await reader.read(); !next.done; next = await reader.read())
      text += Buffer.from(next.value).toString();
    const events = parseEvents(text);
    // Without a wait it would have come to the limit of its output long before its time was over.
    assert.equal(events.at(-1)?.data['status'], 'timeout');
    const sent = bytesOf(events, 'stdout').length;
    assert.ok(sent > 0 && sent < limits.output_bytes, `${sent} bytes`);
  });

  it('shows output while the program runs, and cancels the run of a client that goes away', async () => {
    const client = new AbortController();
    const response = await server.stream(ENDLESS, client.signal);
    let text = '';
    for await (const chunk of response.body as ReadableStream<Uint8Array>) {
      text += Buffer.from(chunk).toString();
      if (text.includes('"running\\n"')) break;
    }
    client.abort();
    await until(async () => ((await server.getJson('/health')) as { in_flight: number }).in_flight === 0);
    await until(() => server.machines().length === 0);
    const list = (await server.getJson('/receipts?limit=1')) as { receipts: { status: string }[] };
    assert.equal(list.receipts[0]?.status, 'canceled');
  });

  it('sets memory aside for guests with what their isolation costs, and says so', async () => {
    const running = server.answer({
      code: 'import time\ntime.sleep(2)',
      limits: { memory_mb: 256 },
      fresh: true,
    });
    await server.running();
    const text = (await server.getBytes('/metrics')).toString();
    const [, bytes] = /^glasshouse_memory_in_use_bytes (\d+)$/mu.exec(text) ?? [];
    assert.ok(Number(bytes) > 256 * 1024 * 1024, text);
    await running;
    let after = '';
    await until(async () => {
      after = (await server.getBytes('/metrics')).toString();
      return /^glasshouse_memory_in_use_bytes 0$/mu.test(after);
    });
    assert.match(after, /^glasshouse_boot_stage_duration_seconds_count\{stage="kernel"\} [1-9]/mu);
    assert.match(after, /^glasshouse_executions_total\{status="ok",backend="qemu"\} [1-9]/mu);
  });

  it('cancels the run of a client that goes away', async () => {
    const client = new AbortController();
    const answer = server.run(ENDLESS, client.signal);
    await server.running();
    client.abort();
    await assert.rejects(answer, { name: 'AbortError' });
    await until(async () => ((await server.getJson('/health')) as { in_flight: number }).in_flight === 0);
    await until(() => server.machines().length === 0);
    const list = (await server.getJson('/receipts?limit=1')) as { receipts: { status: string }[] };
    assert.equal(list.receipts[0]?.status, 'canceled');
  });

  it('says how it is and what it takes', async () => {
    const health = (await server.getJson('/health')) as Record<string, unknown>;
    assert.equal(health['status'], 'ok');
    const backend = health['backend'] as { name: string; isolation: string; image: Record<string, string> };
    assert.equal(backend.name, 'qemu');
    assert.match(backend.isolation, /^vm-(kvm|tcg)$/);
    assert.deepEqual(Object.keys(backend.image).sort(), ['initramfs', 'kernel', 'root']);

    const document = (await server.getJson('/openapi.json')) as {
      openapi: string;
      paths: Record<string, Record<string, { responses: object }>>;
    };
    assert.match(document.openapi, /^3\.1\./);
    assert.ok(document.paths['/run']?.['post']);
    for (const [path, item] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        assert.ok(Object.keys(operation.responses).length > 0, `${method} ${path}`);
        for (const reference of JSON.stringify(operation).matchAll(/"\$ref":"#\/([^"]+)"/g)) {
          const found = (reference[1] ?? '')
            .split('/')
            .reduce<unknown>((node, name) => (node as Record<string, unknown> | undefined)?.[name], document);
          assert.ok(found !== undefined, reference[0]);
        }
      }
    }
  });

  it('shares its data directory with a second server', async () => {
    await using second = await ServerProcess.start(installation);
    const answers = await Promise.all([
      server.answer({ code: 'print("first")' }),
      second.answer({ code: 'print("second")' }),
    ]);
    assert.deepEqual(
      answers.map(({ stdout }) => stdout),
      ['first\n', 'second\n'],
    );
    for (const { receipt_id: id } of answers) {
      assert.deepEqual(await server.getBytes(`/receipts/${id}`), await second.getBytes(`/receipts/${id}`));
    }
    second.child.kill('SIGTERM');
    assert.equal(await second.exited, 0);
    assert.equal((await server.answer({ code: 'print(1)' })).status, 'ok');
  });

  it('says clearly that its port is taken', async () => {
    const { code, stdout, stderr } = await ended(
      spawnServer(installation, ['--port', new URL(server.url).port, '--log-level', 'silent']),
    );
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /^glasshouse: Cannot listen on 127.0.0.1 port \d+: something else .*--port.*\n$/);
  });

  it('leaves nothing when it is stopped', async () => {
    server.child.kill('SIGTERM');
    assert.equal(await server.exited, 0);
    assertNothingLeft(installation);
  });
});

describe('a server with more work than it takes', TIME_LIMIT, () => {
  it('refuses with 429 and Retry-After what does not fit into the queue', async () => {
    using installation = new Installation();
    await using server = await ServerProcess.start(installation, [
      '--max-concurrent',
      '2',
      '--max-queue',
      '2',
    ]);
    const responses = await Promise.all(Array.from({ length: 6 }, () => server.run({ code: 'print(1)' })));
    assert.deepEqual(responses.map(({ status }) => status).sort(), [200, 200, 200, 200, 429, 429]);
    for (const response of responses) {
      const body = (await response.json()) as Problem & { stdout?: string };
      if (response.status === 200) assert.equal(body.stdout, '1\n');
      else {
        assert.equal(body.code, 'overloaded');
        assert.match(response.headers.get('retry-after') ?? '', /^[1-9][0-9]*$/);
      }
    }
    assert.equal((await outcomes(installation)).length, 4);
  });
});
