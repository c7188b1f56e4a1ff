import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfiguration } from '../../src/config/load.js';
import { GlasshouseError } from '../../src/base/errors.js';
import { resolveRunRequest } from '../../src/server/run-request.js';
import { type RunBody } from '../../src/server/run-schema.js';
import { surroundings } from '../config/surroundings.js';

const config = loadConfiguration({
  flags: { data_dir: '/nonexistent' },
  configFile: null,
  surroundings: surroundings(),
});
const resolve = (body: Partial<RunBody>): ReturnType<typeof resolveRunRequest> =>
  resolveRunRequest({ code: 'pass', ...body }, config, '192.0.2.1');

function refusal(body: Partial<RunBody>): string {
  try {
    resolve(body);
  } catch (error) {
    assert.ok(error instanceof GlasshouseError);
    return `${error.code} ${error.field ?? ''}`;
  }
  return 'accepted';
}

describe('a run request', () => {
  it('gets every default', () => {
    assert.deepEqual(resolve({ code: 'print(2+2)' }), {
      client: '192.0.2.1',
      program: { kind: 'python', code: 'print(2+2)', args: [] },
      environment: {},
      inputFiles: [],
      stdin: 'closed',
      stdout: 'capture',
      stderr: 'capture',
      capture: { keepBytes: 1_048_576, endAfterBytes: 1_048_576 },
      inheritedStdout: null,
      inheritedStderr: null,
      streamsCombined: false,
      onQueued: null,
      onStarted: null,
      listener: null,
      onInterrupted: null,
      timeoutMs: 10_000,
      deadlineMs: null,
      observation: null,
      fresh: false,
      limits: { memoryMb: 128, cpus: 1, diskMb: 64, pids: 64, outputBytes: 1_048_576 },
    });
  });

  it('carries everything that was asked for', async () => {
    const { stdin, ...request } = resolve({
      args: ['a', 'b'],
      env: { NAME: 'värde' },
      stdin: 'input\0ü',
      files: [
        { path: 'a/text', content: 'ü' },
        { path: 'a/bytes', content: '/wA=', encoding: 'base64', executable: true },
      ],
      timeout_ms: 1,
      deadline_ms: 2,
      limits: { memory_mb: 256, cpus: 2, disk_mb: 1, pids: 3, output_bytes: 4 },
      network: false,
    });
    assert.deepEqual(request.program, { kind: 'python', code: 'pass', args: ['a', 'b'] });
    assert.equal(request.deadlineMs, 2);
    assert.deepEqual(request.environment, { NAME: 'värde' });
    assert.deepEqual(request.inputFiles, [
      { path: 'a/text', content: Buffer.from('ü'), executable: false },
      { path: 'a/bytes', content: Buffer.from([0xff, 0]), executable: true },
    ]);
    assert.equal(request.timeoutMs, 1);
    assert.deepEqual(request.limits, { memoryMb: 256, cpus: 2, diskMb: 1, pids: 3, outputBytes: 4 });
    assert.ok(typeof stdin !== 'string');
    const chunks = [];
    for await (const chunk of stdin) chunks.push(chunk);
    assert.equal(Buffer.concat(chunks).toString(), 'input\0ü');
  });

  it('may have a variable of any name that is allowed, __proto__ too', () => {
    const env = JSON.parse('{"__proto__": "x", "constructor": "y"}') as Record<string, string>;
    assert.deepEqual(Object.entries(resolve({ env }).environment), Object.entries(env));
  });

  it('may have entries up to the largest size, and no larger', () => {
    assert.equal(refusal({ args: ['a'.repeat(65_536)] }), 'accepted');
    assert.equal(refusal({ args: ['', 'a'.repeat(65_537)] }), 'limit_exceeded args/1');
    assert.equal(refusal({ args: ['ü'.repeat(32_769)] }), 'limit_exceeded args/0');
    assert.equal(refusal({ env: { A: 'a'.repeat(65_534) } }), 'accepted');
    assert.equal(refusal({ env: { A: 'a'.repeat(65_535) } }), 'limit_exceeded env/A');
  });

  it('may have arguments and environment up to 1 MiB together', () => {
    const args = Array.from({ length: 15 }, () => 'a'.repeat(65_535));
    const env = { A: 'a'.repeat(65_533) };
    assert.equal(refusal({ args, env }), 'accepted');
    assert.equal(refusal({ args: [...args, ''], env }), 'limit_exceeded args');
  });

  for (const [expected, body] of [
    ['invalid_request code', { code: 'print("\0")' }],
    ['invalid_request code', { code: '"\udc00"' }],
    ['invalid_request args/1', { args: ['a', 'b\0'] }],
    ['invalid_request args/0', { args: ['\ud800'] }],
    ['invalid_request env/A', { env: { A: '\0' } }],
    ['invalid_request env/A', { env: { A: '\ud800' } }],
    ['invalid_request stdin', { stdin: 'a\ud800b' }],
    ['invalid_request files/0/content', { files: [{ path: 'a', content: '\udfff' }] }],
    [
      'invalid_request files/1/path',
      {
        files: [
          { path: 'a', content: '' },
          { path: 'a/b', content: '' },
        ],
      },
    ],
    ['invalid_request files/0/path', { files: [{ path: '../a', content: '' }] }],
    ['invalid_request files/0/path', { files: [{ path: 'code.py', content: '' }] }],
    [
      'limit_exceeded files',
      { files: [{ path: 'a', content: 'a'.repeat(1_048_577) }], limits: { disk_mb: 1 } },
    ],
    ['limit_exceeded timeout_ms', { timeout_ms: 300_001 }],
    ['limit_exceeded limits/memory_mb', { limits: { memory_mb: 2049 } }],
    ['limit_exceeded limits/cpus', { limits: { cpus: 5 } }],
    ['limit_exceeded limits/disk_mb', { limits: { disk_mb: 1025 } }],
    ['limit_exceeded limits/pids', { limits: { pids: 1025 } }],
    ['limit_exceeded limits/output_bytes', { limits: { output_bytes: 16_777_217 } }],
    ['unsupported_by_backend network', { network: true }],
  ] satisfies [string, Partial<RunBody>][]) {
    it(`is refused: ${expected}, for ${JSON.stringify(body).slice(0, 60)}`, () => {
      assert.equal(refusal(body), expected);
    });
  }

  for (const content of ['YQ', 'YQ=', 'YQ===', 'YR==', 'Y Q==', 'YQ==\n', '_-8=', 'Y', '====']) {
    it(`is refused when ${JSON.stringify(content)} is to be base64`, () => {
      assert.equal(
        refusal({ files: [{ path: 'a', content, encoding: 'base64' }] }),
        'invalid_request files/0/content',
      );
    });
  }
});
