import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Value } from 'typebox/value';
import { RUN_EXAMPLES, RunBody } from '../../src/server/run-schema.js';
import { type RunningServer, startServer } from './running-server.js';

interface Operation {
  readonly operationId?: string;
  readonly requestBody?: { readonly content: Record<string, { schema: unknown; examples?: unknown }> };
  readonly responses: Record<string, { readonly content?: Record<string, { readonly schema: unknown }> }>;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
}

interface OpenApi {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: Record<string, unknown> };
}

describe('GET /openapi.json', () => {
  let running: RunningServer;
  let document: OpenApi;
  before(async () => {
    running = await startServer();
    document = (await (await fetch(`${running.url}/openapi.json`)).json()) as OpenApi;
  });
  after(() => running[Symbol.asyncDispose]());

  it('is OpenAPI 3.1 of this version', () => {
    assert.equal(document.openapi, '3.1.0');
    assert.equal(document.info.version, '1.2.3');
  });

  it('has every path of the API', () => {
    assert.deepEqual(Object.keys(document.paths).sort(), [
      '/health',
      '/log/checkpoint',
      '/log/tile/{path}',
      '/metrics',
      '/receipts',
      '/receipts/{id}',
      '/receipts/{id}/files/{path}',
      '/receipts/{id}/stderr',
      '/receipts/{id}/stdout',
      '/run',
    ]);
  });

  it('names every parameter of a path', () => {
    for (const [path, operations] of Object.entries(document.paths)) {
      const inPath = [...path.matchAll(/\{([a-z]+)\}/gu)].map((match) => match[1]);
      for (const operation of Object.values(operations)) {
        const named = (operation.parameters ?? []).filter((one) => one.in === 'path').map((one) => one.name);
        assert.deepEqual(named, inPath);
      }
    }
  });

  it('describes refusals as problem documents, by a reference that resolves', () => {
    assert.ok('Problem' in document.components.schemas);
    const responses = document.paths['/run']?.['post']?.responses ?? {};
    for (const status of ['400', '403', '413', '415', '421', '422', '429', '500', '503', '507'])
      assert.deepEqual(responses[status]?.content?.['application/problem+json']?.schema, {
        $ref: '#/components/schemas/Problem',
      });
  });

  it('describes both forms of the answer to a run', () => {
    const { content = {} } = document.paths['/run']?.['post']?.responses['200'] ?? {};
    assert.deepEqual(Object.keys(content).sort(), ['application/json', 'text/event-stream']);
    assert.match(JSON.stringify(content['application/json']), /receipt_id/u);
    for (const event of ['queued', 'started', 'stdout', 'stderr', 'result', 'problem'])
      assert.match(JSON.stringify(content['text/event-stream']), new RegExp(`\\b${event}\\b`, 'u'));
  });

  it('has examples of requests that the server accepts', async () => {
    assert.match(JSON.stringify(document.paths['/run']?.['post']?.requestBody), /print\(2\+2\)/u);
    for (const example of RUN_EXAMPLES) {
      assert.ok(Value.Check(RunBody, example));
      assert.equal((await running.post(example)).status, 200);
    }
  });
});

describe('GET /', () => {
  it('points to the documentation', async () => {
    await using running = await startServer();
    const answer = (await (await fetch(running.url)).json()) as { documentation: string };
    assert.equal((await fetch(`${running.url}${answer.documentation}`)).status, 200);
  });
});
