import { randomUUID } from 'node:crypto';
import { type ServerResponse } from 'node:http';
import { type Socket } from 'node:net';
import Fastify, { type ConnectionError, LogController } from 'fastify';
import { systemErrorCode } from '../base/errors.js';
import { type App } from './app.js';
import { setCommonHeaders } from './client-guard.js';
import { type ServerDependencies } from './dependencies.js';
import { answerError } from './error-answer.js';
import { protectFilePath } from './file-path.js';
import { type OpenRequests } from './open-requests.js';
import { type Problem, problem, rawProblemAnswer } from './problem.js';

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_TIMEOUT_MS = 10_000;
/** How often to look for requests that have not arrived in time. */
const CHECK_INTERVAL_MS = 2_000;
/** To destroy a connection at once that has bytes which nobody read would reset it, and the client might not see the answer. */
const LINGER_MS = 1_000;
/** Room for the longest path of a file, percent-encoded: three times 4,095 bytes. */
const LARGEST_HEAD_BYTES = 16 * 1024;

/** A Fastify instance that takes hostile clients: no coercion, nothing removed or added, time limits, no logs of content. */
export function createApp({ config, logger }: ServerDependencies, openRequests: OpenRequests): App {
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
      answerClientError(error, socket, openRequests.on(socket));
    },
  });
  app.server.maxConnections = config.maxConnections;
  return app;
}

/** Answers bytes that are no request, and ends the connection, also with a client that keeps its side open. */
function answerClientError(
  error: ConnectionError,
  socket: Socket,
  current: ServerResponse | undefined,
): void {
  // After a reset nobody is left to answer to; see Node's documentation of the 'clientError' event. What follows a whole
  // request must not look like the answer to that one, or like a part of it.
  const isAnswerable = current === undefined || !(current.headersSent || current.req.complete);
  if (systemErrorCode(error) === 'ECONNRESET' || !socket.writable || !isAnswerable) {
    socket.destroy();
    return;
  }
  socket.end(rawProblemAnswer(problemOfClientError(error.code), randomUUID()));
  const linger = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => {
    clearTimeout(linger);
  });
}

function problemOfClientError(code: string): Problem {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return problem('invalid_request', 'The request did not arrive in time.', { status: 408 });
    case 'HPE_HEADER_OVERFLOW':
      return problem('invalid_request', 'The head of the request is too large.', { status: 431 });
    default:
      return problem('invalid_request', 'The request is not HTTP/1.1.', { status: 400 });
  }
}
