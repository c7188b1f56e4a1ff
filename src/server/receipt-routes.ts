import { Readable } from 'node:stream';
import { type FastifyReply } from 'fastify';
import { GlasshouseError } from '../base/errors.js';
import { BUNDLE_MEDIA_TYPE, PAYLOAD_TYPE } from '../receipts/receipt.js';
import { encodeSigstoreBundle, SIGSTORE_MEDIA_TYPE } from '../receipts/sigstore.js';
import { type App } from './app.js';
import {
  type ReceiptReader,
  type ReceiptSummary,
  type ServerDependencies,
  type StoredReceipt,
} from './dependencies.js';
import { attachmentOf, decodePath } from './file-path.js';
import { malformed } from './problem.js';
import { filterOf, nextQuery } from './receipt-filter.js';
import { problemResponses } from './problem-schema.js';
import { contentOf } from './response-content.js';
import {
  FileParams,
  LARGEST_PAGE,
  ListQuery,
  ReceiptList,
  ReceiptParams,
  ReceiptQuery,
  pageSize,
} from './receipt-schema.js';

const ENVELOPE_TYPE = 'application/vnd.dsse.envelope.v1+json';
const BYTES_TYPE = 'application/octet-stream';

const NOT_FOUND = problemResponses({
  400: 'The id is malformed.',
  404: 'Nothing is stored under that name.',
});
const NOT_KEPT = { ...NOT_FOUND, ...problemResponses({ 410: 'Retention has dropped it.' }) };

/** GET /receipts and everything below it. */
export function addReceiptRoutes(app: App, dependencies: ServerDependencies): void {
  addList(app, dependencies.store);
  addReceipt(app, dependencies);
  addStream(app, 'stdout', (id) => dependencies.store.readStdout(id), dependencies.store);
  addStream(app, 'stderr', (id) => dependencies.store.readStderr(id), dependencies.store);
  addFile(app, dependencies.store);
}

function addList(app: App, store: ReceiptReader): void {
  const schema = {
    operationId: 'listReceipts',
    summary: 'List receipts, newest first',
    querystring: ListQuery,
    response: { 200: ReceiptList, ...NOT_FOUND },
  };
  app.get('/receipts', { schema }, async (request, reply) => {
    const { before = null } = request.query;
    const limit = pageSize(request.query.limit);
    if (limit === null)
      throw malformed(`The value has to be a number from 1 to ${LARGEST_PAGE}.`, { field: 'limit' });
    // One more than asked for tells whether there is a next page.
    const found = store.list({ limit: limit + 1, before }, filterOf(request.query));
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    const next = last === undefined ? null : `/receipts?${nextQuery(request.query, limit, last.receiptId)}`;
    if (next !== null) reply.header('link', `<${next}>; rel="next"`);
    return reply.send({ receipts: page.map(summaryAnswer), next });
  });
}

function addReceipt(app: App, { store, encodeBundle }: ServerDependencies): void {
  const schema = {
    operationId: 'getReceipt',
    summary: 'Get a receipt',
    params: ReceiptParams,
    querystring: ReceiptQuery,
    response: {
      200: contentOf([BUNDLE_MEDIA_TYPE, ENVELOPE_TYPE, PAYLOAD_TYPE, SIGSTORE_MEDIA_TYPE], 'object'),
      ...NOT_FOUND,
    },
  };
  app.get('/receipts/:id', { schema }, async (request, reply) => {
    const receipt = existing(store, request.params.id);
    switch (request.query.format ?? 'bundle') {
      case 'bundle':
        return sendBytes(reply, BUNDLE_MEDIA_TYPE, encodeBundle(receipt));
      case 'dsse':
        return sendBytes(reply, ENVELOPE_TYPE, receipt.envelope);
      case 'statement':
        return sendBytes(reply, PAYLOAD_TYPE, payloadOf(receipt));
      case 'sigstore':
        return sendBytes(reply, SIGSTORE_MEDIA_TYPE, encodeSigstoreBundle(receipt.envelope));
    }
  });
}

function addStream(
  app: App,
  name: 'stdout' | 'stderr',
  read: (receiptId: string) => Uint8Array | null,
  store: ReceiptReader,
): void {
  const schema = {
    operationId: `get${name === 'stdout' ? 'Stdout' : 'Stderr'}`,
    summary: `Get what was kept of ${name}`,
    params: ReceiptParams,
    response: { 200: contentOf([BYTES_TYPE], 'string'), ...NOT_KEPT },
  };
  app.get(`/receipts/:id/${name}`, { schema }, async (request, reply) => {
    const receipt = existing(store, request.params.id);
    const bytes = read(request.params.id);
    if (bytes === null) {
      refuseDropped(receipt);
      throw new GlasshouseError('not_found', `${name} of this execution was not captured or is not kept.`);
    }
    reply.header('content-disposition', `attachment; filename="${name}"`);
    return sendBytes(reply, BYTES_TYPE, bytes);
  });
}

function addFile(app: App, store: ReceiptReader): void {
  const schema = {
    operationId: 'getFile',
    summary: 'Get a file that the program left in its workspace',
    params: FileParams,
    response: { 200: contentOf([BYTES_TYPE], 'string'), ...NOT_KEPT },
  };
  app.get('/receipts/:id/files/*', { schema }, async (request, reply) => {
    const { id } = request.params;
    const receipt = existing(store, id);
    const path = decodePath(request.params['*']);
    const entry = store.fileEntry(id, path);
    if (entry === null) {
      refuseDropped(receipt);
      throw new GlasshouseError(
        'not_found',
        'This receipt has no file of that path, or its bytes are not kept.',
      );
    }
    reply.headers({ 'content-disposition': attachmentOf(path), 'content-length': entry.sizeBytes });
    return reply.type(BYTES_TYPE).send(Readable.from(store.readFile(id, path), { objectMode: false }));
  });
}

function existing(store: ReceiptReader, receiptId: string): StoredReceipt {
  const receipt = store.get(receiptId);
  if (receipt === null) throw new GlasshouseError('not_found', 'There is no receipt with that id.');
  return receipt;
}

/** Retention drops the outputs of a receipt all together. */
function refuseDropped({ outputsDroppedAt }: StoredReceipt): void {
  if (outputsDroppedAt !== null)
    throw new GlasshouseError(
      'gone',
      `What was kept of this execution's outputs was dropped at ${outputsDroppedAt}.`,
    );
}

function summaryAnswer(summary: ReceiptSummary): ReceiptList['receipts'][number] {
  return {
    receipt_id: summary.receiptId,
    execution_id: summary.executionId,
    timestamp: summary.timestamp,
    kind: summary.kind,
    status: summary.status,
    exit_code: summary.exitCode,
    signal: summary.signal,
    backend: summary.backend,
    isolation: summary.isolation,
    outputs_dropped_at: summary.outputsDroppedAt,
  };
}

/** The payload of a stored DSSE envelope: the in-toto Statement, byte for byte as it was signed. */
function payloadOf(receipt: StoredReceipt): Uint8Array {
  const envelope: unknown = JSON.parse(Buffer.from(receipt.envelope).toString('utf8'));
  if (typeof envelope !== 'object' || envelope === null || !('payload' in envelope))
    throw new GlasshouseError('receipt_invalid', 'The stored envelope has no payload.');
  return Buffer.from(String(envelope.payload), 'base64');
}

function sendBytes(reply: FastifyReply, type: string, bytes: Uint8Array): FastifyReply {
  return reply.type(type).send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}
