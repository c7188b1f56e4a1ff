// @ts-check
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the repository, without a slash at the end. */
export const repository = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/**
 * An absolute path in the repository.
 * @param {...string} parts
 */
export function inRepository(...parts) {
  return join(repository, ...parts);
}
