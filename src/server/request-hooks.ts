import { type FastifyRequest } from 'fastify';
import { asGlasshouseError } from '../base/errors.js';
import { AllowedMethods } from './allowed-methods.js';
import { type App } from './app.js';
import { clientGuard, setCommonHeaders } from './client-guard.js';
import { type ServerDependencies } from './dependencies.js';
import { answerError } from './error-answer.js';
import { parseJsonBody } from './json-body.js';
import { type Problem, problem, sendProblem, shuttingDown } from './problem.js';
import { type ServerMetrics } from './metrics.js';
import { type ServerState } from './server-state.js';

/**
 * What happens to every request before and after its route: common headers, refusals, body, errors.
 * Call before routes are added.
 */
export function addRequestHooks(
  app: App,
  dependencies: ServerDependencies,
  state: ServerState,
  metrics: ServerMetrics,
): void {
  awaitTurns(app, state);
  refuseEarly(app, dependencies, state);
  readBodies(app, state);
  app.setErrorHandler(answerError);
  app.setSerializerCompiler(() => (answer) => JSON.stringify(answer));
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (state.closing) reply.header('connection', 'close');
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.is404 ? null : (request.routeOptions.url ?? null);
    metrics.countRequest(
      request.method,
      route,
      reply.raw.writableFinished ? String(reply.statusCode) : 'aborted',
    );
    done();
  });
}

/** Nothing is set aside for a request, and nothing counts on the end of its response, before it has its connection. */
function awaitTurns(app: App, state: ServerState): void {
  app.addHook('onRequest', async (request, reply) => {
    if (!(await state.turns.comes(request.raw, reply.raw))) reply.hijack();
  });
}

/** Refuses, before a byte of its body is read, what is refused whatever the body is. */
function refuseEarly(app: App, { config }: ServerDependencies, state: ServerState): void {
  const methods = new AllowedMethods(app);
  const guard = clientGuard(config, () => app.server.address());
  const refusalOf = (request: FastifyRequest): Problem | null =>
    guard(request) ??
    (request.is404 ? noRoute(methods.of(request.url)) : null) ??
    (state.closing && request.method === 'POST' ? shuttingDown() : null);
  app.addHook('onRequest', (request, reply, done) => {
    state.openRequests.add(reply.raw);
    setCommonHeaders(request, reply);
    const refusal = refusalOf(request);
    if (refusal === null) done();
    else sendProblem(reply, refusal);
  });
}

function noRoute(allowed: readonly string[]): Problem {
  if (allowed.length === 0) return problem('not_found', 'There is nothing at this path; see /openapi.json.');
  const allow = allowed.join(', ');
  return problem('invalid_request', `This path has only ${allow}.`, { status: 405, headers: { allow } });
}

/** JSON only. Fastify's own parsers would take plain text, and turn bytes that are not UTF-8 into U+FFFD. */
function readBodies(app: App, state: ServerState): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    state.bodies.shrink(request.raw, body.length);
    try {
      done(null, parseJsonBody(body));
    } catch (error) {
      done(error instanceof Error ? error : asGlasshouseError(error));
    }
  });
}
