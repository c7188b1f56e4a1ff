import {
  type FastifyError,
  type FastifyReply,
  type FastifyRequest,
  type FastifySchemaValidationError,
} from 'fastify';
import { GlasshouseError, asGlasshouseError } from '../base/errors.js';
import { dottedField, dottedMember } from './field-name.js';
import { type Problem, ProblemError, problem, problemOf, sendProblem } from './problem.js';

/** Answers whatever was thrown while a request was served. */
export function answerError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return sendProblem(reply, problemOfFailure(thrown, request));
}

/** The problem that whatever was thrown is for the client; logs it when the fault is ours. */
export function problemOfFailure(thrown: unknown, request: FastifyRequest): Problem {
  const answer = problemOfThrown(thrown);
  if (answer.status >= 500) request.log.error({ err: thrown, code: answer.code }, 'request failed');
  return answer;
}

function problemOfThrown(thrown: unknown): Problem {
  if (thrown instanceof ProblemError) return thrown.problem;
  if (thrown instanceof GlasshouseError) return problemOf(thrown);
  if (isClientError(thrown))
    return thrown.validation === undefined
      ? problem('invalid_request', clientErrorDetail(thrown), { status: thrown.statusCode })
      : problemOfValidation(thrown.validation);
  return problemOf(asGlasshouseError(thrown));
}

type ClientError = FastifyError & { readonly statusCode: number };

/** Errors that Fastify itself raises about a request: FST_ERR_... with a status below 500. */
function isClientError(thrown: unknown): thrown is ClientError {
  if (!(thrown instanceof Error) || !('statusCode' in thrown)) return false;
  return typeof thrown.statusCode === 'number' && thrown.statusCode >= 400 && thrown.statusCode < 500;
}

function clientErrorDetail(error: ClientError): string {
  switch (error.statusCode) {
    case 413:
      return 'The body is larger than this server takes (setting body_limit_bytes).';
    case 415:
      return 'The body must be JSON: send it with the content type application/json.';
    default:
      return 'The request is malformed.';
  }
}

function problemOfValidation(errors: readonly FastifySchemaValidationError[]): Problem {
  const first = errors[0];
  if (first === undefined) return problem('invalid_request', 'The request is malformed.', { status: 400 });
  const { field, detail } = describeValidationError(first);
  return problem('invalid_request', detail, { status: 400, field });
}

function describeValidationError(error: FastifySchemaValidationError): {
  field: string | null;
  detail: string;
} {
  const { instancePath, params } = error;
  const member = (name: unknown): string => dottedMember(instancePath, String(name));
  const place = instancePath === '' ? null : dottedField(instancePath);
  switch (error.keyword) {
    case 'additionalProperties':
      return { field: member(params['additionalProperty']), detail: 'There is no such field.' };
    case 'required':
      return { field: member(params['missingProperty']), detail: 'The field is missing.' };
    case 'propertyNames':
    case 'pattern':
      if ('propertyName' in error)
        return {
          field: member(error.propertyName),
          detail: 'The name has to be letters, digits and underscores, and not start with a digit.',
        };
      break;
    case 'enum':
    case 'const':
      return {
        field: place,
        detail: `The value has to be one of ${JSON.stringify(params['allowedValues'] ?? [params['allowedValue']])}.`,
      };
    default:
  }
  return { field: place, detail: `The value ${error.message ?? 'is not allowed'}.` };
}
