import { accessSync, constants, statSync } from 'node:fs';

import { GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { assertExecutableFormat } from './executable-format.js';

/** What execvp(3) searches when PATH is not set: confstr(_CS_PATH). */
const DEFAULT_PATH = '/bin:/usr/bin';

/** These mean "look in the next directory"; everything else ends the search (execvp(3)). */
const KEEP_LOOKING = new Set([
  'ENOENT',
  'ENOTDIR',
  'EACCES',
  'ESTALE',
  'ENODEV',
  'ETIMEDOUT',
  'ENAMETOOLONG',
]);

/**
 * Finds the file that `command` names by the rules of execvp(3): a name with a slash is a path, any other is searched
 * in `path` (the PATH of the program's own environment), where an empty element is the current directory.
 * Throws `command_not_found` or `command_not_executable`. Unlike execvp(3), a file that the kernel does not recognise
 * is not handed to `sh`: that would be another command than the one asked for.
 */
export function findCommand(command: string, path: string | undefined): string {
  const candidates = command.includes('/') ? [command] : searchPath(command, path ?? DEFAULT_PATH);
  let refused: unknown = null;
  for (const candidate of command === '' ? [] : candidates) {
    const problem = whyNotExecutable(candidate);
    if (problem === null) {
      assertExecutableFormat(candidate);
      return candidate;
    }
    const code = systemErrorCode(problem) ?? '';
    if (code !== 'ENOENT' && code !== 'ENOTDIR') refused ??= problem;
    if (!KEEP_LOOKING.has(code)) break;
  }
  if (refused !== null) throw notExecutable(command, refused);
  throw new GlasshouseError('command_not_found', `${JSON.stringify(command)}: command not found`);
}

function searchPath(command: string, path: string): string[] {
  return path.split(':').map((directory) => `${directory === '' ? '.' : directory}/${command}`);
}

/** Null when the file may be executed. */
function whyNotExecutable(file: string): unknown {
  try {
    accessSync(file, constants.X_OK);
    if (statSync(file).isFile()) return null;
    return Object.assign(new Error('not a regular file'), { code: 'EACCES' });
  } catch (error) {
    return error;
  }
}

function notExecutable(command: string, cause: unknown): GlasshouseError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new GlasshouseError(
    'command_not_executable',
    `${JSON.stringify(command)} cannot be executed: ${reason}`,
    { cause },
  );
}
