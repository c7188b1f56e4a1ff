import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import http from 'node:http';
import { type AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { type RunningServer, type ServerChanges, startServer } from './running-server.js';

interface Sent {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

async function send(
  running: RunningServer,
  {
    method = 'POST',
    path = '/run',
    headers = {},
    at = '127.0.0.1',
  }: { method?: string; path?: string; headers?: object; at?: string },
): Promise<Sent> {
  const client = http.request({
    host: at,
    port: running.port,
    method,
    path,
    agent: false,
    headers: { 'content-type': 'application/json', ...headers },
  });
  client.end(method === 'POST' ? '{"code":"pass"}' : undefined);
  const [response] = (await once(client, 'response')) as [http.IncomingMessage];
  const chunks = (await response.toArray()) as Buffer[];
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks).toString(),
  };
}

async function statusFor(headers: object, settings: ServerChanges['settings'] = {}): Promise<number> {
  await using running = await startServer({ settings });
  const { status } = await send(running, { headers });
  assert.equal(running.engine.requests.length, status === 200 ? 1 : 0);
  return status;
}

describe('the Host header, on a loopback address', () => {
  for (const host of ['localhost', 'localhost:8080', 'LOCALHOST', '127.0.0.1:1', '[::1]:8080', '[::1]'])
    it(`may be ${host}`, async () => {
      assert.equal(await statusFor({ host }), 200);
    });

  for (const host of [
    'evil.example',
    'localhost.evil.example',
    'evil.example:8080',
    '127.0.0.1.evil.example',
  ])
    it(`may not be ${JSON.stringify(host)}: a page could have its name resolve to us`, async () => {
      assert.equal(await statusFor({ host }), 421);
    });

  it('may be a name that is configured', async () => {
    assert.equal(await statusFor({ host: 'box.example:80' }, { allowed_hosts: 'box.example' }), 200);
  });
});

/** Why a server cannot listen there; false: it can. */
function withoutIpv6(host: string): string | false {
  return host.includes(':') && !existsSync('/proc/net/if_inet6') && 'this kernel has no IPv6';
}

describe('the Host header, on a loopback address that is written in another way', () => {
  for (const listens of ['Localhost', '127.1', '2130706433', '127.8.0.1', '::ffff:127.0.0.1'])
    it(`is held against the server's names on ${listens}`, { skip: withoutIpv6(listens) }, async () => {
      await using running = await startServer({ settings: { host: listens } });
      const address = running.server.app.server.address() as AddressInfo;
      const evil = { headers: { host: 'evil.example' }, at: address.address };
      assert.equal((await send(running, evil)).status, 421);
      assert.equal((await send(running, { ...evil, headers: { host: 'localhost' } })).status, 200);
    });
});

describe('the Host header, on other addresses', () => {
  it('may be any name', async () => {
    assert.equal(await statusFor({ host: 'box.example' }, { host: '0.0.0.0' }), 200);
  });

  it('has to be a configured name once there is one', async () => {
    const settings = { host: '0.0.0.0', allowed_hosts: 'box.example' };
    assert.equal(await statusFor({ host: 'box.example' }, settings), 200);
    assert.equal(await statusFor({ host: 'evil.example' }, settings), 421);
  });
});

describe('the Origin header', () => {
  it('may be our own', async () => {
    assert.equal(await statusFor({ host: 'localhost:8080', origin: 'http://localhost:8080' }), 200);
  });

  for (const origin of ['https://evil.example', 'null', 'http://localhost:9999', 'nonsense'])
    it(`may not be ${origin}`, async () => {
      assert.equal(await statusFor({ host: 'localhost:8080', origin }), 403);
    });
});

describe('every answer', () => {
  let running: RunningServer;
  before(async () => {
    running = await startServer();
  });
  after(() => running[Symbol.asyncDispose]());

  for (const [method, path] of [
    ['POST', '/run'],
    ['GET', '/health'],
    ['GET', '/nothing'],
    ['DELETE', '/run'],
    ['GET', '/receipts/%FF'],
  ] as const)
    it(`to ${method} ${path} has our id and keeps browsers from using it`, async () => {
      const headers = { origin: 'https://evil.example', 'x-request-id': 'forged', 'request-id': 'forged' };
      const answer = await send(running, { method, path, headers: method === 'GET' ? headers : {} });
      assert.match(String(answer.headers['x-request-id']), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/u);
      assert.equal(answer.headers['x-content-type-options'], 'nosniff');
      assert.equal(answer.headers['cache-control'], 'no-store');
      assert.match(String(answer.headers['content-security-policy']), /default-src 'none'/u);
      assert.equal(answer.headers['access-control-allow-origin'], undefined);
    });

  it('that is a problem names the request in its instance', async () => {
    const answer = await send(running, { method: 'GET', path: '/nothing' });
    const { instance } = JSON.parse(answer.body) as { instance: string };
    assert.equal(instance, `urn:uuid:${String(answer.headers['x-request-id'])}`);
  });
});

describe('a route that is not there', () => {
  for (const [method, path, status, allow] of [
    ['GET', '/nothing', 404, undefined],
    ['GET', '/run/', 404, undefined],
    ['GET', '/run', 405, 'POST'],
    ['PUT', '/run?x=1', 405, 'POST'],
    ['OPTIONS', '/run', 405, 'POST'],
    ['PROPFIND', '/run', 405, 'POST'],
    ['POST', '/receipts', 405, 'GET, HEAD'],
    ['DELETE', '/receipts/a/files/b/c%2Fd', 405, 'GET, HEAD'],
    ['POST', '/health', 405, 'GET, HEAD'],
  ] as const)
    it(`${method} ${path} is answered with ${status}`, async () => {
      await using running = await startServer();
      const answer = await send(running, { method, path });
      assert.equal(answer.status, status);
      assert.equal(answer.headers.allow, allow);
      assert.match(String(answer.headers['content-type']), /^application\/problem\+json/u);
    });
});
