import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { GlasshouseError } from '../../src/base/errors.js';
import { type CompletedExecution } from '../../src/engine/completed.js';
import { RunAnswer } from '../../src/server/run-schema.js';
import {
  COMPLETED,
  EXECUTION_ID,
  RECEIPT_ID,
  type RunningServer,
  postJson,
  problemOf,
  startServer,
} from './running-server.js';

let running: RunningServer;
before(async () => {
  running = await startServer({ settings: { body_limit_bytes: '100000' } });
});
after(() => running[Symbol.asyncDispose]());

/** The answer to a run whose engine gives `execution`. */
async function answerTo(execution: Partial<CompletedExecution>): Promise<Response> {
  running.engine.behaviour = () => Promise.resolve({ ...COMPLETED, ...execution });
  return running.post({ code: 'pass' });
}

async function okAnswerTo(execution: Partial<CompletedExecution>): Promise<RunAnswer> {
  const response = await answerTo(execution);
  assert.equal(response.status, 200);
  const answer: unknown = await response.json();
  assert.ok(Value.Check(RunAnswer, answer), 'the answer is what the schema says');
  return answer;
}

const stream = (kept: Uint8Array): CompletedExecution['stdout'] => ({
  kept,
  totalBytes: kept.length,
  truncated: false,
});

describe('POST /run', () => {
  it('answers with what happened', async () => {
    assert.deepEqual(await okAnswerTo({}), {
      receipt_id: RECEIPT_ID,
      execution_id: EXECUTION_ID,
      status: 'ok',
      exit_code: 0,
      signal: null,
      stdout: '4\n',
      stderr: '',
      stdout_bytes: 2,
      stdout_truncated: false,
      stderr_bytes: 0,
      stderr_truncated: false,
      duration_ms: 12,
      timings: { queue_ms: 1, boot_ms: 2, run_ms: 3, collect_ms: 5, receipt_ms: 4 },
      files: [],
      files_complete: true,
    });
  });

  it('answers 200 to every failure of the program itself', async () => {
    for (const status of ['error', 'timeout', 'oom', 'output_limit'] as const)
      assert.equal((await okAnswerTo({ status, exitCode: null, signal: 'SIGKILL' })).status, status);
  });

  it('gives output that is not UTF-8 as text with replacements and as exact bytes', async () => {
    const answer = await okAnswerTo({
      stdout: stream(Buffer.from([0x61, 0xff])),
      stderr: stream(Buffer.from('ü')),
    });
    assert.equal(answer.stdout, 'a\ufffd');
    assert.equal(answer.stdout_base64, 'Yf8=');
    assert.equal(answer.stderr, 'ü');
    assert.equal('stderr_base64' in answer, false);
  });

  it('keeps a byte order mark, NUL and control characters of the output', async () => {
    const text = '\ufeffa\0\u001b[2J\u2028';
    assert.equal((await okAnswerTo({ stdout: stream(Buffer.from(text)) })).stdout, text);
  });

  it('says that output was cut off, and how much there was', async () => {
    const answer = await okAnswerTo({
      stdout: { kept: Buffer.from('ab'), totalBytes: 900, truncated: true },
    });
    assert.deepEqual([answer.stdout, answer.stdout_bytes, answer.stdout_truncated], ['ab', 900, true]);
  });

  it('lists the files that the program left', async () => {
    const file = { mode: 0o644, sizeBytes: 1, sha256: 'cd'.repeat(32), omitted: null, inline: null };
    const { files } = await okAnswerTo({
      files: [
        { ...file, path: Buffer.from('a.txt'), inline: Buffer.from('ü') },
        { ...file, path: Buffer.from([0x62, 0xff]), mode: 0o4755, inline: Buffer.from([0xff]) },
        { ...file, path: Buffer.from('c'), sha256: null, omitted: 'too_large', sizeBytes: 1e12 },
      ],
    });
    const common = { size: 1, sha256: 'cd'.repeat(32), omitted: null };
    assert.deepEqual(files, [
      { ...common, path: 'a.txt', mode: '0644', content: 'ü', encoding: 'utf8' },
      { ...common, path: 'b\ufffd', path_base64: 'Yv8=', mode: '4755', content: '/w==', encoding: 'base64' },
      { path: 'c', size: 1e12, mode: '0644', sha256: null, omitted: 'too_large' },
    ]);
  });

  it('passes on what the engine says beside the status', async () => {
    const error = { code: 'guest_unresponsive', message: 'It was killed.' } as const;
    assert.deepEqual((await okAnswerTo({ status: 'timeout', error })).error, error);
  });

  it('answers a failure of ours as a problem that names the receipt', async () => {
    for (const [code, status] of [
      ['guest_lost', 500],
      ['backend_unavailable', 503],
      ['image_missing', 503],
      ['disk_full', 507],
    ] as const) {
      const problem = await problemOf(
        await answerTo({ status: 'infra_error', error: { code, message: 'What to do.' } }),
      );
      assert.equal(problem.status, status);
      assert.equal(problem.code, code);
      assert.equal(problem.detail, 'What to do.');
      assert.equal(problem['receipt_id'], RECEIPT_ID);
      assert.equal(problem['execution_id'], EXECUTION_ID);
      assert.equal(problem['execution_status'], 'infra_error');
    }
  });

  it('answers overload with 429 and Retry-After', async () => {
    running.engine.behaviour = () =>
      Promise.reject(new GlasshouseError('overloaded', 'The queue is full.', { retryAfterMs: 6001 }));
    const response = await running.post({ code: 'pass' });
    assert.equal(response.headers.get('retry-after'), '7');
    const problem = await problemOf(response);
    assert.deepEqual([problem.status, problem.code], [429, 'overloaded']);
  });

  it('tells nobody about the insides of a defect', async () => {
    running.engine.behaviour = () => Promise.reject(new TypeError('secret insides'));
    const response = await running.post({ code: 'pass' });
    const text = await response.text();
    assert.equal(response.status, 500);
    assert.doesNotMatch(text, /secret insides/u);
    assert.match(running.log(), /secret insides/u);
  });
});

describe('a bad request', () => {
  const code = 'pass';
  const file = { path: 'a', content: '' };
  const cases: [string, unknown, number, string | undefined][] = [
    ['no object', [], 400, undefined],
    ['null', null, 400, undefined],
    ['without code', {}, 400, 'code'],
    ['with empty code', { code: '' }, 400, 'code'],
    ['with a number for code', { code: 1 }, 400, 'code'],
    ['with an unknown field', { code, colour: 'red' }, 400, 'colour'],
    ['with an unknown field below', { code, limits: { gpus: 1 } }, 400, 'limits.gpus'],
    ['with an unknown field in a file', { code, files: [file, { ...file, mode: 1 }] }, 400, 'files[1].mode'],
    ['with another language', { code, language: 'ruby' }, 400, 'language'],
    ['with a number among the arguments', { code, args: ['a', 1] }, 400, 'args[1]'],
    ['with one argument not in an array', { code, args: 'a' }, 400, 'args'],
    ['with too many arguments', { code, args: Array(1001).fill('') }, 400, 'args'],
    ['with a number for a variable', { code, env: { A: 1 } }, 400, 'env.A'],
    ['with = in the name of a variable', { code, env: { 'A=B': '' } }, 400, 'env.A=B'],
    ['with an empty name of a variable', { code, env: { '': '' } }, 400, 'env.'],
    ['with a line end in the name of a variable', { code, env: { 'A\n': '' } }, 400, 'env.A\n'],
    ['with a number as text', { code, timeout_ms: '1' }, 400, 'timeout_ms'],
    ['with a fraction', { code, limits: { cpus: 1.5 } }, 400, 'limits.cpus'],
    ['with a negative limit', { code, limits: { pids: -1 } }, 400, 'limits.pids'],
    ['with no time', { code, timeout_ms: 0 }, 400, 'timeout_ms'],
    ['with a deadline of more than a day', { code, deadline_ms: 86_400_001 }, 400, 'deadline_ms'],
    ['with text for a truth value', { code, network: 'false' }, 400, 'network'],
    ['with null for a default', { code, stdin: null }, 400, 'stdin'],
    ['with an unknown encoding', { code, files: [{ ...file, encoding: 'hex' }] }, 400, 'files[0].encoding'],
    ['with a file without content', { code, files: [{ path: 'a' }] }, 400, 'files[0].content'],
    ['with a path that leaves', { code, files: [{ ...file, path: '../a' }] }, 422, 'files[0].path'],
    ['with NUL in an argument', { code, args: ['\0'] }, 422, 'args[0]'],
    ['with a limit above the maximum', { code, limits: { memory_mb: 4096 } }, 422, 'limits.memory_mb'],
    ['with an enormous limit', { code, timeout_ms: 1e300 }, 400, 'timeout_ms'],
    ['that wants a network', { code, network: true }, 422, 'network'],
  ];

  for (const [what, body, status, field] of cases) {
    it(`${what} is refused with the field's name, and nothing is started`, async () => {
      const calls = running.engine.requests.length;
      const problem = await problemOf(await running.post(body));
      assert.deepEqual([problem.status, problem.field], [status, field]);
      assert.equal(running.engine.requests.length, calls);
    });
  }

  it('that is not JSON is refused with 400', async () => {
    for (const body of ['', '{', 'code=1', new Uint8Array([0x22, 0xff, 0x22])])
      assert.equal((await problemOf(await postJson(running.url, body))).status, 400);
  });

  it('of another content type is refused with 415', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      const headers = { 'content-type': type };
      const response = await fetch(`${running.url}/run`, { method: 'POST', headers, body: '{"code":"1"}' });
      assert.equal((await problemOf(response)).status, 415);
    }
  });

  it('that is too large is refused with 413', async () => {
    const calls = running.engine.requests.length;
    assert.equal((await problemOf(await running.post({ code: 'a'.repeat(100_001) }))).status, 413);
    assert.equal(running.engine.requests.length, calls);
  });

  it('is never a failure of ours, and never reaches the engine when refused', async () => {
    running.engine.behaviour = () => Promise.resolve(COMPLETED);
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('a', 'a/b', '..', '\ud800', '\0', 'YQ=='),
    );
    const anything = fc.oneof(text, fc.jsonValue({ maxDepth: 2 }));
    const body = fc.record(
      {
        code: fc.oneof({ arbitrary: text, weight: 5 }, { arbitrary: anything, weight: 1 }),
        language: fc.oneof(fc.constant('python'), anything),
        args: fc.oneof(fc.array(text, { maxLength: 3 }), anything),
        stdin: anything,
        env: fc.oneof(fc.dictionary(text, text, { maxKeys: 3 }), anything),
        files: fc.oneof(
          fc.array(
            fc.record(
              {
                path: text,
                content: text,
                encoding: fc.constantFrom('utf8', 'base64'),
                executable: fc.boolean(),
              },
              { requiredKeys: ['path', 'content'] },
            ),
            { maxLength: 4 },
          ),
          anything,
        ),
        timeout_ms: fc.oneof(fc.integer(), fc.double(), anything),
        limits: fc.oneof(fc.dictionary(fc.constantFrom('memory_mb', 'pids', 'x'), fc.integer()), anything),
        network: fc.oneof(fc.boolean(), anything),
      },
      { requiredKeys: ['code'] },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.oneof({ arbitrary: body, weight: 9 }, { arbitrary: fc.jsonValue(), weight: 1 }),
        async (value) => {
          const calls = running.engine.requests.length;
          const response = await running.post(value);
          await response.arrayBuffer();
          assert.ok(response.status === 200 || (response.status >= 400 && response.status < 500));
          assert.equal(running.engine.requests.length - calls, response.status === 200 ? 1 : 0);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('the log', () => {
  it('has one line for each run, without code, input or output', async () => {
    await using logged = await startServer();
    logged.engine.behaviour = () =>
      Promise.resolve({ ...COMPLETED, stdout: stream(Buffer.from('SECRET-out')) });
    const files = [{ path: 'SECRET-path', content: 'SECRET-content' }];
    const secrets = {
      code: 'SECRET-code',
      stdin: 'SECRET-in',
      args: ['SECRET-arg'],
      env: { A: 'SECRET-env' },
      files,
    };
    await logged.post(secrets);
    await logged.post({ ...secrets, 'SECRET-field': 1 });
    await logged.post({ ...secrets, args: ['SECRET\0'] });
    const lines = logged
      .log()
      .split('\n')
      .filter((line) => line.includes('"executionId"'));
    assert.equal(lines.length, 1);
    const { executionId, receiptId, status, timings } = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
    assert.deepEqual([executionId, receiptId, status], [EXECUTION_ID, RECEIPT_ID, 'ok']);
    assert.deepEqual(timings, COMPLETED.timings);
    assert.doesNotMatch(logged.log(), /SECRET/u);
  });
});
