import { type FastifyReply, type FastifyRequest } from 'fastify';
import { asGlasshouseError } from '../base/errors.js';
import { type CompletedExecution } from '../engine/completed.js';
import { type ExecutionRequest } from '../engine/request.js';
import { type App } from './app.js';
import { clientKey } from './client-key.js';
import { type ServerDependencies } from './dependencies.js';
import { type ServerMetrics } from './metrics.js';
import { EVENT_STREAM_TYPE } from './event-stream.js';
import { problemResponses } from './problem-schema.js';
import { overloaded, sendProblem, shuttingDown } from './problem.js';
import { problemOfExecution, runAnswer } from './run-answer.js';
import { resolveRunRequest } from './run-request.js';
import { RunAnswer, RunBody, RunEvents } from './run-schema.js';
import { streamRun, wantsEventStream } from './run-stream.js';
import { type ServerState } from './server-state.js';

const RUN_SCHEMA = {
  operationId: 'run',
  summary: 'Run a program',
  description:
    'Runs a program in a fresh, isolated environment. However the program ends, the answer is 200 and has a receipt. Programs that find no room wait for their turn; clients take turns. When the client goes away, the execution is canceled.',
  body: RunBody,
  response: {
    200: {
      description: 'What happened: one JSON document, or, if the client asks for it, events as it happens.',
      content: {
        'application/json': { schema: RunAnswer },
        [EVENT_STREAM_TYPE]: { schema: RunEvents },
      },
    },
    ...problemResponses({
      400: 'The body is not JSON, or does not match the schema.',
      403: 'The request comes from a page of another site.',
      413: 'The body is too large.',
      415: 'The body is not application/json.',
      421: 'The server does not answer to the name in the Host header.',
      422: 'A value cannot be accepted: a path leaves the workspace, a limit is above the maximum, ...',
      429: 'The server is overloaded; see Retry-After.',
      500: 'The execution failed through no fault of the program. It may have a receipt.',
      503: 'The backend cannot run, it was not the turn of the execution in time, or the server is shutting down.',
      507: 'The disk of the host is full.',
    }),
  },
};

/** POST /run. */
export function addRunRoute(
  app: App,
  dependencies: ServerDependencies,
  state: ServerState,
  metrics: ServerMetrics,
): void {
  const { engine, config } = dependencies;
  const run = async (
    request: FastifyRequest,
    reply: FastifyReply,
    executionRequest: ExecutionRequest,
  ): Promise<CompletedExecution> => {
    try {
      const execution = await state.running.track(reply.raw, (signal) =>
        engine.run(executionRequest, signal),
      );
      afterAnswer(reply, () => {
        logExecution(request, execution);
        metrics.countExecution(execution);
      });
      return execution;
    } catch (thrown) {
      metrics.countRefusal(asGlasshouseError(thrown).code);
      throw thrown;
    }
  };
  app.post(
    '/run',
    {
      schema: RUN_SCHEMA,
      onRequest: async (request, reply) => {
        if (!state.bodies.reserve(request.raw, expectedBytes(request, config.bodyLimitBytes)))
          return sendProblem(reply, overloaded(engine.retryAfterMs));
        reply.raw.once('close', () => {
          state.bodies.release(request.raw);
        });
        return;
      },
    },
    async (request, reply) => {
      const { remoteAddress } = request.raw.socket;
      if (remoteAddress === undefined) return abandon(request, reply);
      const executionRequest = resolveRunRequest(request.body, config, clientKey(remoteAddress));
      if (state.closing) return sendProblem(reply, shuttingDown());
      if (wantsEventStream(request)) {
        const options = { heartbeatMs: config.streamHeartbeatMs, closing: () => state.closing };
        await streamRun(request, reply, options, (hooks) =>
          run(request, reply, { ...executionRequest, ...hooks }),
        );
        return reply;
      }
      const execution = await run(request, reply, executionRequest);
      const failure = problemOfExecution(execution);
      return failure === null ? reply.send(runAnswer(execution)) : sendProblem(reply, failure);
    },
  );
}

/** The client has reset its connection already (getpeername(2) fails), so nobody is left to run anything for. */
function abandon(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  request.raw.socket.destroy();
  return reply.hijack();
}

/** Nobody waits for what is done then; who asks for the metrics after an answer finds it counted. */
function afterAnswer({ raw }: FastifyReply, act: () => void): void {
  if (raw.closed) act();
  else raw.once('close', act);
}

/** Bytes that the body can take at most, as far as the header tells; a wrong header is refused later. */
function expectedBytes(request: FastifyRequest, limit: number): number {
  const stated = Number(request.headers['content-length'] ?? limit);
  return Number.isNaN(stated) ? limit : Math.min(stated, limit);
}

/** One line for each run. It never has code, input or output in it. */
function logExecution(request: FastifyRequest, execution: CompletedExecution): void {
  const { executionId, receiptId, status, durationMs, timings, error } = execution;
  const line = { executionId, receiptId, status, durationMs, timings, errorCode: error?.code ?? null };
  if (status === 'infra_error') request.log.error(line, 'execution failed');
  else request.log.info(line, 'execution ended');
}
