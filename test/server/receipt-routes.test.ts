import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { GlasshouseError } from '../../src/base/errors.js';
import { type ReceiptReader, type ReceiptSummary } from '../../src/server/dependencies.js';
import { EMPTY_STORE, RECEIPT_ID, type RunningServer, problemOf, startServer } from './running-server.js';

const STATEMENT = '{"_type":"https://in-toto.io/Statement/v1"}';
const ENVELOPE = Buffer.from(
  JSON.stringify({ payload: Buffer.from(STATEMENT).toString('base64'), payloadType: 'x', signatures: [] }),
);
const UNKNOWN_ID = 'cd'.repeat(32);

/** Files by the hexadecimal digits of their path. */
const FILES: Readonly<Record<string, Uint8Array>> = {
  [Buffer.from('a/b c.txt').toString('hex')]: Buffer.from('text'),
  ff2f00: Buffer.from([1, 2, 3]),
  [Buffer.from('100%').toString('hex')]: Buffer.from('percent'),
  [Buffer.from('a%2Fb').toString('hex')]: Buffer.from('encoded slash in the name'),
  [Buffer.from('large').toString('hex')]: Buffer.alloc(3_000_000, 7),
};
const fileAt = (path: Uint8Array): Uint8Array | undefined => FILES[Buffer.from(path).toString('hex')];

const summary = (index: number): ReceiptSummary => ({
  receiptId: index.toString(16).padStart(64, '0'),
  executionId: `execution-${index}`,
  timestamp: '2026-01-02T03:04:05.678Z',
  kind: 'python',
  status: 'ok',
  exitCode: 0,
  signal: null,
  backend: 'qemu',
  isolation: 'vm-tcg',
  outputsDroppedAt: null,
});
const SUMMARIES = Array.from({ length: 5 }, (_, index) => summary(5 - index));

/** A store with one receipt for GET by id, and five summaries. */
const store: ReceiptReader = {
  ...EMPTY_STORE,
  get: (id) =>
    id === RECEIPT_ID ? { receiptId: id, keyId: 'key', envelope: ENVELOPE, outputsDroppedAt: null } : null,
  list: ({ limit, before }) => {
    const index = before === null ? -1 : SUMMARIES.findIndex((one) => one.receiptId === before);
    if (before !== null && index === -1) throw new GlasshouseError('not_found', 'No.', { field: 'before' });
    return SUMMARIES.slice(index + 1, index + 1 + limit);
  },
  readStdout: () => Buffer.from([0xff, 0x0a]),
  fileEntry: (_id, path) => {
    const bytes = fileAt(path);
    return bytes === undefined ? null : { sizeBytes: bytes.length };
  },
  *readFile(_id, path) {
    const bytes = fileAt(path) ?? new Uint8Array();
    for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
  },
};

let running: RunningServer;
before(async () => {
  const encodeBundle = (receipt: { receiptId: string }): Uint8Array =>
    Buffer.from(`bundle ${receipt.receiptId}`);
  running = await startServer({ store, encodeBundle });
});
after(() => running[Symbol.asyncDispose]());
const get = (path: string): Promise<Response> => fetch(`${running.url}${path}`);

/** GET with a request target that no client library has touched. */
async function getRaw(
  path: string,
): Promise<{ status: number; body: Buffer; headers: http.IncomingHttpHeaders }> {
  const client = http.get({ host: '127.0.0.1', port: running.port, path, agent: false });
  const [response] = (await once(client, 'response')) as [http.IncomingMessage];
  const chunks = (await response.toArray()) as Buffer[];
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks), headers: response.headers };
}

describe('GET /receipts/{id}', () => {
  for (const [query, type, body] of [
    ['', 'application/vnd.glasshouse.receipt-bundle.v1+json', `bundle ${RECEIPT_ID}`],
    ['?format=bundle', 'application/vnd.glasshouse.receipt-bundle.v1+json', `bundle ${RECEIPT_ID}`],
    ['?format=dsse', 'application/vnd.dsse.envelope.v1+json', ENVELOPE.toString()],
    ['?format=statement', 'application/vnd.in-toto+json', STATEMENT],
  ] as const)
    it(`${query} gives the stored bytes`, async () => {
      const response = await get(`/receipts/${RECEIPT_ID}${query}`);
      assert.equal(response.status, 200);
      assert.ok(response.headers.get('content-type')?.startsWith(type));
      assert.equal(await response.text(), body);
    });

  it('is a problem for an unknown id, a malformed id, an unknown format and an unknown parameter', async () => {
    const outcome = async (path: string): Promise<unknown[]> => {
      const { status, code, field } = await problemOf(await get(path));
      return [status, code, field];
    };
    assert.deepEqual(await outcome(`/receipts/${UNKNOWN_ID}`), [404, 'not_found', undefined]);
    assert.deepEqual(await outcome('/receipts/abc'), [400, 'invalid_request', 'id']);
    assert.deepEqual(await outcome(`/receipts/${RECEIPT_ID.toUpperCase()}`), [400, 'invalid_request', 'id']);
    assert.deepEqual(await outcome(`/receipts/${RECEIPT_ID}?format=pdf`), [400, 'invalid_request', 'format']);
    assert.deepEqual(await outcome(`/receipts/${RECEIPT_ID}?formt=dsse`), [400, 'invalid_request', 'formt']);
  });
});

describe('GET /receipts', () => {
  it('goes through all of them by following next', async () => {
    const seen: string[] = [];
    for (let next: string | null = '/receipts?limit=2'; next !== null;) {
      const response = await get(next);
      const page = (await response.json()) as { receipts: { receipt_id: string }[]; next: string | null };
      assert.equal(response.headers.get('link'), page.next === null ? null : `<${page.next}>; rel="next"`);
      assert.ok(page.receipts.length > 0);
      seen.push(...page.receipts.map((receipt) => receipt.receipt_id));
      next = page.next;
    }
    assert.deepEqual(
      seen,
      SUMMARIES.map((one) => one.receiptId),
    );
  });

  it('says what each was', async () => {
    const page = (await (await get('/receipts?limit=1')).json()) as { receipts: unknown[] };
    assert.deepEqual(page.receipts, [
      {
        receipt_id: summary(5).receiptId,
        execution_id: 'execution-5',
        timestamp: '2026-01-02T03:04:05.678Z',
        kind: 'python',
        status: 'ok',
        exit_code: 0,
        signal: null,
        backend: 'qemu',
        isolation: 'vm-tcg',
        outputs_dropped_at: null,
      },
    ]);
  });

  it('refuses pages that are none', async () => {
    for (const limit of ['0', '-1', '201', '1.5', 'x', '', '1&limit=2'])
      assert.deepEqual((await problemOf(await get(`/receipts?limit=${limit}`))).field, 'limit');
    assert.equal((await problemOf(await get('/receipts?before=x'))).status, 400);
    assert.equal((await problemOf(await get(`/receipts?before=${UNKNOWN_ID}`))).status, 404);
  });
});

describe('GET /receipts with filters', () => {
  it('hands them to the store and on to the next page', async () => {
    const asked: unknown[] = [];
    const list: ReceiptReader['list'] = (page, filter) => {
      asked.push({ ...page, ...filter });
      return store.list(page, filter);
    };
    await using filtering = await startServer({ store: { ...store, list } });
    const query = `status=ok,error&since=2026-01-31&until=2026-02-01T00:00:00Z&backend=qemu&code_sha256=${RECEIPT_ID}&text=a+b`;
    const answer = (await (await fetch(`${filtering.url}/receipts?limit=2&${query}`)).json()) as {
      next: string;
    };
    const filter = {
      statuses: ['ok', 'error'],
      since: '2026-01-31T00:00:00.000Z',
      until: '2026-02-01T00:00:00.000Z',
      backend: 'qemu',
      codeSha256: RECEIPT_ID,
      text: 'a b',
    };
    assert.deepEqual(asked, [{ limit: 3, before: null, ...filter }]);
    assert.equal((await fetch(filtering.url + answer.next)).status, 200);
    assert.deepEqual(asked[1], { limit: 3, before: summary(4).receiptId, ...filter });
  });

  it('refuses what is none', async () => {
    for (const [field, value] of [
      ['status', 'great'],
      ['status', 'ok,'],
      ['since', 'yesterday'],
      ['since', '2026-13-01'],
      ['until', '2026-01-01T00:00:00'],
      ['backend', 'Q'],
      ['code_sha256', 'abc'],
      ['text', ''],
    ] as const) {
      const { status, field: named } = await problemOf(await get(`/receipts?${field}=${value}`));
      assert.deepEqual([status, named], [400, field], `${field}=${value}`);
    }
  });
});

describe('outputs that retention has dropped', () => {
  it('are gone, while those that were never kept are not found', async () => {
    const dropped: ReceiptReader = {
      ...store,
      get: (id) => ({
        receiptId: id,
        keyId: 'key',
        envelope: ENVELOPE,
        outputsDroppedAt: '2026-01-02T03:04:05.678Z',
      }),
      readStdout: () => null,
      fileEntry: () => null,
    };
    await using pruned = await startServer({ store: dropped });
    for (const path of ['stdout', 'stderr', 'files/a']) {
      const { status, code, detail } = await problemOf(
        await fetch(`${pruned.url}/receipts/${RECEIPT_ID}/${path}`),
      );
      assert.deepEqual([status, code], [410, 'gone']);
      assert.match(detail, /2026-01-02T03:04:05\.678Z/);
    }
    assert.equal((await fetch(`${pruned.url}/receipts/${RECEIPT_ID}?format=dsse`)).status, 200);
  });
});

describe('GET /receipts/{id}/stdout and /stderr', () => {
  it('give the exact bytes, to be saved and not shown', async () => {
    const response = await get(`/receipts/${RECEIPT_ID}/stdout`);
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), Buffer.from([0xff, 0x0a]));
    assert.equal(response.headers.get('content-type'), 'application/octet-stream');
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
    assert.equal(response.headers.get('content-disposition'), 'attachment; filename="stdout"');
  });

  it('are not found when nothing is kept, or the receipt is unknown', async () => {
    assert.equal((await problemOf(await get(`/receipts/${RECEIPT_ID}/stderr`))).status, 404);
    assert.equal((await problemOf(await get(`/receipts/${UNKNOWN_ID}/stdout`))).status, 404);
  });
});

describe('GET /receipts/{id}/files/{path}', () => {
  for (const [path, body] of [
    ['a/b%20c.txt', 'text'],
    ['a%2Fb%20c.txt', 'text'],
    ['%61/b%20c.txt', 'text'],
    ['%FF%2F%00', '\u0001\u0002\u0003'],
    ['%ff/%00', '\u0001\u0002\u0003'],
    ['100%25', 'percent'],
    ['a%252Fb', 'encoded slash in the name'],
  ] as const)
    it(`${path} gives the bytes of the file of exactly that name`, async () => {
      const { status, body: bytes, headers } = await getRaw(`/receipts/${RECEIPT_ID}/files/${path}`);
      assert.equal(status, 200);
      assert.equal(bytes.toString('latin1'), body);
      assert.equal(headers['content-type'], 'application/octet-stream');
      assert.match(String(headers['content-disposition']), /^attachment; filename="/u);
    });

  it('streams large files whole', async () => {
    const { body, headers } = await getRaw(`/receipts/${RECEIPT_ID}/files/large`);
    assert.equal(headers['content-length'], '3000000');
    assert.ok(body.equals(Buffer.alloc(3_000_000, 7)));
  });

  it('answers HEAD with the size alone', async () => {
    const response = await fetch(`${running.url}/receipts/${RECEIPT_ID}/files/large`, { method: 'HEAD' });
    assert.equal(response.headers.get('content-length'), '3000000');
  });

  it('is a problem for what is not there, and for a path that is not encoded properly', async () => {
    const status = async (path: string): Promise<number> =>
      (await getRaw(`/receipts/${RECEIPT_ID}/files/${path}`)).status;
    assert.equal(await status('none'), 404);
    assert.equal(await status('../stdout'), 404);
    assert.equal(await status(''), 404);
    assert.equal(await status('%zz'), 400);
    assert.equal((await getRaw(`/receipts/${UNKNOWN_ID}/files/large`)).status, 404);
  });

  it('stops reading when the client goes away', async () => {
    const ended = new Promise<number>((resolve) => {
      reading = resolve;
    });
    await using endless = await startServer({
      store: { ...store, fileEntry: () => ({ sizeBytes: 1e12 }), readFile },
    });
    const client = http.get(`${endless.url}/receipts/${RECEIPT_ID}/files/x`, { agent: false });
    client.on('error', () => {
      // It is we who hang up.
    });
    await once(client, 'response');
    client.destroy();
    assert.ok((await ended) < 10_000);
  });
});

let reading: (chunks: number) => void = () => undefined;
/** A file without an end; tells how much of it was read when its reader stops. */
function* readFile(): Generator<Uint8Array> {
  let chunks = 0;
  try {
    for (; ; chunks += 1) yield Buffer.alloc(65_536);
  } finally {
    reading(chunks);
  }
}
