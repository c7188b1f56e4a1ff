import Type from 'typebox';
import { GlasshouseError } from '../base/errors.js';
import {
  encodeEntryBundle,
  hasTile,
  parseTilePath,
  readTile,
  TILE_WIDTH,
  type TilePath,
} from '../receipts/log-tiles.js';
import { type App } from './app.js';
import { type LogReader } from './dependencies.js';
import { malformed } from './problem.js';
import { problemResponses } from './problem-schema.js';
import { contentOf } from './response-content.js';

const TEXT_TYPE = 'text/plain; charset=utf-8';
const BYTES_TYPE = 'application/octet-stream';
/** What has a size in its name never changes. */
const FOREVER = 'public, max-age=31536000, immutable';
/** The head moves with every receipt. */
const NOT_AT_ALL = 'no-store';
/** Before the path of a tile, in a request target. */
const TILE_PREFIX = '/log/tile/';

const NOTHING_ELSE = Type.Object({}, { additionalProperties: false });

/** The log as static resources: C2SP tlog-tiles with the prefix `/log`. */
export function addLogRoutes(app: App, log: LogReader): void {
  addCheckpoint(app, log);
  addTiles(app, log);
}

function addCheckpoint(app: App, log: LogReader): void {
  const schema = {
    operationId: 'getCheckpoint',
    summary: 'Get the signed head of the log (C2SP tlog-checkpoint)',
    querystring: NOTHING_ELSE,
    response: {
      200: contentOf([TEXT_TYPE], 'string'),
      ...problemResponses({ 404: 'Nothing has been logged yet.' }),
    },
  };
  app.get('/log/checkpoint', { schema }, async (_request, reply) => {
    const latest = log.latest();
    if (latest === null) throw new GlasshouseError('not_found', 'Nothing has been logged yet.');
    return reply.header('cache-control', NOT_AT_ALL).type(TEXT_TYPE).send(latest.note);
  });
}

function addTiles(app: App, log: LogReader): void {
  const schema = {
    operationId: 'getTile',
    summary: 'Get hashes or entries of the log (C2SP tlog-tiles)',
    params: Type.Object({
      '*': Type.String({
        description:
          '`<L>/<N>[.p/<W>]` for hashes, `entries/<N>[.p/<W>]` for entries; see c2sp.org/tlog-tiles.',
      }),
    }),
    querystring: NOTHING_ELSE,
    response: {
      200: contentOf([BYTES_TYPE], 'string'),
      ...problemResponses({ 400: 'The path is not that of a tile.', 404: 'The log is not that large yet.' }),
    },
  };
  app.get('/log/tile/*', { schema }, async (request, reply) => {
    // As it was sent: an encoded form of a path would be a second name of the same tile.
    const target = request.raw.url ?? '';
    const tile = target.startsWith(TILE_PREFIX) ? parseTilePath(target.slice(TILE_PREFIX.length)) : null;
    if (tile === null)
      throw malformed('The path is not that of a tile (c2sp.org/tlog-tiles).', { field: 'path' });
    if (!hasTile(log.latest()?.size ?? 0, tile))
      throw new GlasshouseError('not_found', 'The log does not have all of this tile yet.');
    return reply
      .header('cache-control', FOREVER)
      .type(BYTES_TYPE)
      .send(Buffer.from(contentOfTile(log, tile)));
  });
}

function contentOfTile(log: LogReader, tile: TilePath): Uint8Array {
  if (tile.level !== 'entries') return readTile(tile.level, tile, log.readHash);
  return encodeEntryBundle(log.entries(tile.index * TILE_WIDTH, tile.width));
}
