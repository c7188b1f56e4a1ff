import { type FastifyReply, type FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';
import { type CompletedExecution } from '../engine/completed.js';
import { type ExecutionRequest } from '../engine/request.js';
import { problemOfFailure } from './error-answer.js';
import { EVENT_STREAM_TYPE, EventStream } from './event-stream.js';
import { type Problem, problemDocument, sendProblem } from './problem.js';
import { problemOfExecution, runAnswer } from './run-answer.js';
import { StreamedOutput } from './streamed-output.js';

/** In the order that decides between equals: JSON is for everybody who has no wish. */
const ANSWER_TYPES = ['application/json', EVENT_STREAM_TYPE, `${EVENT_STREAM_TYPE};charset=utf-8`] as const;

/**
 * True when the client asks for an event stream by its name and does not prefer JSON (RFC 9110, 12.5.1): wildcards
 * alone mean JSON.
 */
export function wantsEventStream(request: FastifyRequest): boolean {
  const negotiator = new Negotiator({ headers: { accept: request.headers.accept } });
  const named = negotiator.mediaTypes().some((type) => type.toLowerCase() === EVENT_STREAM_TYPE);
  return named && negotiator.mediaType(ANSWER_TYPES)?.startsWith(EVENT_STREAM_TYPE) === true;
}

/**
 * Answers a run with events as they happen. What fails before the first of them is an ordinary answer: then this
 * throws, or sends a problem document.
 * @param run runs the request that it is given.
 */
export async function streamRun(
  request: FastifyRequest,
  reply: FastifyReply,
  { heartbeatMs, closing }: { readonly heartbeatMs: number; readonly closing: () => boolean },
  run: (hooks: Partial<ExecutionRequest>) => Promise<CompletedExecution>,
): Promise<void> {
  using stream = new EventStream(reply.raw, heartbeatMs, () => {
    reply.hijack();
    for (const [name, value] of Object.entries(reply.getHeaders()))
      if (value !== undefined) reply.raw.setHeader(name, value);
    if (closing()) reply.raw.setHeader('connection', 'close');
  });
  const failure = await resultOf(request, stream, run);
  if (failure === null) return;
  if (stream.opened) await stream.end('problem', problemDocument(failure, request.id));
  else sendProblem(reply, failure);
}

/** The problem that the run ended in; null when its result has been sent. */
async function resultOf(
  request: FastifyRequest,
  stream: EventStream,
  run: (hooks: Partial<ExecutionRequest>) => Promise<CompletedExecution>,
): Promise<Problem | null> {
  const output = new StreamedOutput(stream);
  try {
    const execution = await run({
      listener: output,
      onQueued: (waiting) => {
        stream.post('queued', { waiting });
      },
      onStarted: ({ executionId }) => {
        output.begin(executionId);
      },
      onInterrupted: () => {
        output.letGo();
      },
    });
    const failure = problemOfExecution(execution);
    if (failure === null) await stream.end('result', runAnswer(execution));
    return failure;
  } catch (thrown) {
    if (!stream.opened) throw thrown;
    return problemOfFailure(thrown, request);
  }
}
