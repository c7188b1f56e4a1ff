import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';

import { encodeLogEntry } from '../../src/receipts/log-entry.js';
import { type LogReader } from '../../src/server/dependencies.js';
import { MemoryLog } from '../receipts/sample-log.js';
import { problemOf, type RunningServer, startServer } from './running-server.js';

const SIZE = 300;
const log = new MemoryLog().fill(SIZE);
const reader: LogReader = {
  latest: () => ({ size: SIZE, note: log.checkpoint() }),
  readHash: log.read,
  entries: (begin, count) => log.entries.slice(begin, begin + count).map(encodeLogEntry),
};

let running: RunningServer;
before(async () => {
  running = await startServer({ log: reader });
});
after(() => running[Symbol.asyncDispose]());
const get = (path: string): Promise<Response> => fetch(`${running.url}${path}`);

/** The status for a request target that no client library has touched. */
async function statusOfRaw(path: string): Promise<number> {
  const client = http.get({ host: '127.0.0.1', port: running.port, path, agent: false });
  const [response] = (await once(client, 'response')) as [http.IncomingMessage];
  response.resume();
  return response.statusCode ?? 0;
}

describe('GET /log/checkpoint', () => {
  it('is the signed head, which nobody may keep', async () => {
    const response = await get('/log/checkpoint');
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/plain; charset=utf-8');
    assert.equal(response.headers.get('cache-control'), 'no-store');
    assert.equal(await response.text(), log.checkpoint());
  });

  it('is a problem for a log without entries', async () => {
    await using empty = await startServer();
    const { status, code } = await problemOf(await fetch(`${empty.url}/log/checkpoint`));
    assert.deepEqual([status, code], [404, 'not_found']);
    assert.equal((await problemOf(await fetch(`${empty.url}/log/tile/0/000.p/1`))).status, 404);
  });
});

describe('GET /log/tile/...', () => {
  it('gives full and partial tiles of hashes, which never change', async () => {
    for (const [path, level, begin, width] of [
      ['0/000', 0, 0, 256],
      ['0/001.p/44', 0, 256, 44],
      ['0/000.p/3', 0, 0, 3],
      ['1/000.p/1', 8, 0, 1],
    ] as const) {
      const response = await get(`/log/tile/${path}`);
      assert.equal(response.status, 200, path);
      assert.equal(response.headers.get('content-type'), 'application/octet-stream');
      assert.equal(response.headers.get('cache-control'), 'public, max-age=31536000, immutable');
      const expected = Array.from({ length: width }, (_, at) => log.read(level, begin + at));
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), Buffer.concat(expected), path);
    }
  });

  it('gives entries, each with its length before it', async () => {
    const bytes = Buffer.from(await (await get('/log/tile/entries/001.p/44')).arrayBuffer());
    let position = 0;
    for (let index = 256; index < SIZE; index += 1) {
      const length = bytes.readUInt16BE(position);
      const entry = JSON.parse(bytes.toString('utf8', position + 2, position + 2 + length)) as object;
      assert.deepEqual(entry, log.entries[index]);
      position += 2 + length;
    }
    assert.equal(position, bytes.length);
  });

  it('is a problem for what the log does not have yet', async () => {
    for (const path of [
      '0/001',
      '0/001.p/45',
      '0/002.p/1',
      '1/000',
      '1/000.p/2',
      '2/000.p/1',
      '63/000',
      'entries/001',
    ]) {
      const { status, code } = await problemOf(await get(`/log/tile/${path}`));
      assert.deepEqual([status, code], [404, 'not_found'], path);
    }
  });

  it('is a problem for any other form of a path', async () => {
    for (const path of [
      '0/0',
      '00/000',
      '0/x000/000',
      '0/000.p/0',
      '0/000.p/256',
      '64/000',
      'entries',
      '0/000/',
    ]) {
      const { status, code } = await problemOf(await get(`/log/tile/${path}`));
      assert.deepEqual([status, code], [400, 'invalid_request'], path);
    }
    for (const path of [
      '0/%30%30%30',
      '%30/000',
      '0/000?',
      '0/000?a=b',
      '0%2f000',
      '0/x001/../000',
      '0\\000',
    ])
      assert.equal(await statusOfRaw(`/log/tile/${path}`), 400, path);
  });
});
