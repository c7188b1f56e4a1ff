import { PYTHON_CODE_FILE } from '../backends/backend.js';
import { GlasshouseError } from '../base/errors.js';
import { checkWellFormed } from './request-text.js';

/** PATH_MAX and NAME_MAX of Linux (limits.h), without the final NUL. */
const LONGEST_PATH_BYTES = 4095;
const LONGEST_SEGMENT_BYTES = 255;
/** Directories below this depth would not come back from the guest either. */
const MOST_SEGMENTS = 64;

/**
 * Checks one path of an input file: relative, `/`-separated, inside the workspace, free of control characters.
 * A backslash is an ordinary character on Linux.
 * @param field JSON pointer to the path in the request.
 * @throws GlasshouseError invalid_request.
 */
export function checkWorkspacePath(path: string, field: string): void {
  const refuse = (problem: string): never => {
    throw new GlasshouseError('invalid_request', `The path ${problem}.`, { field });
  };
  checkWellFormed(path, field);
  if (path === '') refuse('is empty');
  if (/\p{Cc}/u.test(path)) refuse('has a control character');
  if (path.startsWith('/')) refuse('is absolute; give it relative to the workspace');
  if (Buffer.byteLength(path) > LONGEST_PATH_BYTES) refuse(`is longer than ${LONGEST_PATH_BYTES} bytes`);
  const segments = path.split('/', MOST_SEGMENTS + 1);
  if (segments.length > MOST_SEGMENTS) refuse(`has more than ${MOST_SEGMENTS} segments`);
  for (const segment of segments) {
    if (segment === '') refuse('has an empty segment');
    if (segment === '.' || segment === '..') refuse(`has the segment "${segment}"`);
    if (Buffer.byteLength(segment) > LONGEST_SEGMENT_BYTES)
      refuse(`has a segment that is longer than ${LONGEST_SEGMENT_BYTES} bytes`);
  }
}

/**
 * Checks that no two paths are the same, none is a directory of another, and none takes the place of the
 * program. Each path has passed checkWorkspacePath().
 * @throws GlasshouseError invalid_request; the field is `files/<index>/path`.
 */
export function checkPathsTogether(paths: readonly string[]): void {
  const entries = [PYTHON_CODE_FILE, ...paths].map((path, index) => ({
    // Sorts right before everything below it: NUL is lower than any character that a path can have.
    key: path.replaceAll('/', '\0'),
    index: index - 1,
  }));
  entries.sort((left, right) => compareCodeUnits(left.key, right.key));
  for (const [position, entry] of entries.entries()) {
    const next = entries[position + 1];
    if (next !== undefined) checkNeighbours(entry, next, paths);
  }
}

interface Entry {
  readonly key: string;
  /** In the request; -1 for the program. */
  readonly index: number;
}

function checkNeighbours(left: Entry, right: Entry, paths: readonly string[]): void {
  const same = left.key === right.key;
  if (!same && !right.key.startsWith(`${left.key}\0`)) return;
  const later = Math.max(left.index, right.index);
  const earlier = Math.min(left.index, right.index);
  const other = paths[earlier] ?? PYTHON_CODE_FILE;
  const detail =
    earlier === -1
      ? `The path takes the place of ${PYTHON_CODE_FILE}, where the program is put.`
      : same
        ? `The path is that of files[${earlier}] too.`
        : `The path conflicts with files[${earlier}] (${shortened(other)}): one would be a directory of the other.`;
  throw new GlasshouseError('invalid_request', detail, { field: `files/${later}/path` });
}

function compareCodeUnits(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function shortened(path: string): string {
  return path.length > 100 ? `${path.slice(0, 100)}...` : path;
}
