import { randomUUID } from 'node:crypto';
import { type ServerResponse } from 'node:http';
import { type Socket } from 'node:net';
import { type ConnectionError } from 'fastify';
import { systemErrorCode } from '../base/errors.js';
import { type Problem, problem, rawProblemAnswer } from './problem.js';

/** To destroy a connection at once that has bytes which nobody read would reset it, and the client might not see the answer. */
const LINGER_MS = 1_000;
const TIMEOUT = 'ERR_HTTP_REQUEST_TIMEOUT';
/** Connections that have their last answer; whatever else they send is ignored for as long as they live. */
const lingering = new WeakSet<Socket>();

/**
 * Answers bytes that are no request, or that did not come in time, and ends the connection, also with a client that keeps
 * its side open. `current` is the answer that the connection is taken for now, if any.
 */
export function answerClientError(
  error: ConnectionError,
  socket: Socket,
  current: ServerResponse | undefined,
): void {
  if (lingering.has(socket)) return;
  if (current !== undefined && (current.headersSent || current.req.complete)) {
    // What follows a whole request must not look like the answer to that one, or like a part of it.
    endBehindAnswer(error, socket, current);
    return;
  }
  // After a reset nobody is left to answer to; see Node's documentation of the 'clientError' event.
  if (systemErrorCode(error) === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  lingering.add(socket);
  socket.end(rawProblemAnswer(problemOfClientError(error.code), randomUUID()));
  const linger = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => {
    clearTimeout(linger);
  });
}

/** Who waits for the answer is not late; only what was sent behind it is. */
function endBehindAnswer(error: ConnectionError, socket: Socket, current: ServerResponse): void {
  if (error.code !== TIMEOUT) socket.destroy();
  else
    current.once('finish', () => {
      socket.destroySoon();
    });
}

function problemOfClientError(code: string): Problem {
  switch (code) {
    case TIMEOUT:
      return problem('invalid_request', 'The request did not arrive in time.', { status: 408 });
    case 'HPE_HEADER_OVERFLOW':
      return problem('invalid_request', 'The head of the request is too large.', { status: 431 });
    default:
      return problem('invalid_request', 'The request is not HTTP/1.1.', { status: 400 });
  }
}
