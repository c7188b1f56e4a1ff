import { randomUUID } from 'node:crypto';
import Fastify, { LogController } from 'fastify';
import { type App } from './app.js';
import { answerClientError } from './client-error.js';
import { setCommonHeaders } from './client-guard.js';
import { type ServerDependencies } from './dependencies.js';
import { answerError } from './error-answer.js';
import { protectFilePath } from './file-path.js';
import { type RequestTurns } from './request-turns.js';

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_TIMEOUT_MS = 10_000;
/** How often to look for requests that have not arrived in time. */
const CHECK_INTERVAL_MS = 2_000;
/** Room for the longest path of a file, percent-encoded: three times 4,095 bytes. */
const LARGEST_HEAD_BYTES = 16 * 1024;

/** A Fastify instance that takes hostile clients: no coercion, nothing removed or added, time limits, no logs of content. */
export function createApp({ config, logger }: ServerDependencies, turns: RequestTurns): App {
  const app: App = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    // A client's own ids are not believed: two requests could then look like one in the log.
    requestIdHeader: false,
    genReqId: () => randomUUID(),
    bodyLimit: config.bodyLimitBytes,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    http: {
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      maxHeaderSize: LARGEST_HEAD_BYTES,
    },
    // Fastify's own answer while closing is no problem document; see request-hooks.ts.
    return503OnClosing: false,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false } },
    rewriteUrl: (request) => protectFilePath(request.url ?? '/'),
    frameworkErrors: (error, request, reply) => {
      setCommonHeaders(request, reply);
      answerError(error, request, reply);
    },
    clientErrorHandler: (error, socket) => {
      answerClientError(error, socket, turns.currentOn(socket));
    },
  });
  app.server.maxConnections = config.maxConnections;
  return app;
}
