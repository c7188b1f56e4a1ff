import { GlasshouseError } from '../base/errors.js';

/** Bytes of one argument or one `NAME=value`; the guest link has one frame for each. */
const LONGEST_ENTRY_BYTES = 65_536;
/** Bytes of all arguments and variables together, with a NUL after each, as execve(2) takes them. */
const LONGEST_VECTOR_BYTES = 1024 * 1024;

/**
 * Refuses strings that have no UTF-8 form: JSON can carry half of a surrogate pair, bytes cannot.
 * @param field JSON pointer to the text in the request.
 */
export function checkWellFormed(text: string, field: string): void {
  if (/\p{Surrogate}/u.test(text))
    throw new GlasshouseError('invalid_request', 'The text has half of a surrogate pair.', { field });
}

/** Refuses what cannot be passed to a program: NUL, which ends a C string, and text without a UTF-8 form. */
export function checkProgramText(text: string, field: string): void {
  if (text.includes('\0'))
    throw new GlasshouseError('invalid_request', 'The text contains a NUL character.', { field });
  checkWellFormed(text, field);
}

/**
 * Checks arguments and environment one by one and together.
 * @throws GlasshouseError invalid_request for what no program could get, limit_exceeded for what is too much.
 */
export function checkVectors(
  args: readonly string[],
  environment: readonly (readonly [name: string, value: string])[],
): void {
  let argumentBytes = 0;
  let environmentBytes = 0;
  for (const [index, argument] of args.entries()) argumentBytes += entryBytes(argument, `args/${index}`);
  for (const [name, value] of environment) environmentBytes += entryBytes(value, `env/${name}`, `${name}=`);
  if (argumentBytes + environmentBytes > LONGEST_VECTOR_BYTES)
    throw new GlasshouseError(
      'limit_exceeded',
      `Arguments and environment together are longer than ${LONGEST_VECTOR_BYTES} bytes.`,
      { field: argumentBytes >= environmentBytes ? 'args' : 'env' },
    );
}

function entryBytes(text: string, field: string, prefix = ''): number {
  checkProgramText(text, field);
  const bytes = Buffer.byteLength(prefix) + Buffer.byteLength(text);
  if (bytes > LONGEST_ENTRY_BYTES)
    throw new GlasshouseError('limit_exceeded', `The entry is longer than ${LONGEST_ENTRY_BYTES} bytes.`, {
      field,
    });
  return bytes + 1;
}
