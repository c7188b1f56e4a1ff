import Type from 'typebox';
import { ERROR_CODES } from '../base/errors.js';
import { PROBLEM_MEDIA_TYPE } from './problem.js';

/** The document that every refusal and failure is answered with (RFC 9457). */
const ProblemDocument = Type.Object(
  {
    type: Type.String({ description: '`urn:glasshouse:error:` and the code.' }),
    title: Type.String({ description: 'What the code means.' }),
    status: Type.Integer({ minimum: 400, maximum: 599, description: 'The HTTP status.' }),
    detail: Type.String({ description: 'What is wrong here and what to do about it.' }),
    instance: Type.String({ description: '`urn:uuid:` and the id of the request in the log.' }),
    code: Type.Enum(Object.keys(ERROR_CODES), { description: 'See docs/errors.md.' }),
    field: Type.Optional(Type.String({ description: 'The offending field, for example `files[0].path`.' })),
    receipt_id: Type.Optional(Type.String({ description: 'If there is a receipt of the failure.' })),
    execution_id: Type.Optional(Type.String()),
    execution_status: Type.Optional(Type.Enum(['infra_error', 'canceled'])),
  },
  { $id: 'Problem', title: 'Problem', additionalProperties: false },
);
export { ProblemDocument };

/** Entries for a route's `response` schema. */
export function problemResponses(descriptions: Readonly<Record<number, string>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(descriptions).map(([status, description]) => [
      status,
      { description, content: { [PROBLEM_MEDIA_TYPE]: { schema: { $ref: 'Problem#' } } } },
    ]),
  );
}
