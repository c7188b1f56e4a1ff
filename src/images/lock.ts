import { spawn } from 'node:child_process';
import { join } from 'node:path';

import { GlasshouseError } from '../base/errors.js';

/** Exit code that flock(1) is told to use when another process holds the lock. */
const HELD_BY_ANOTHER = 75;
const ACQUIRED = 'acquired\n';

/** A directory that this process alone may change until the lock is disposed of. */
export interface LockedDirectory extends AsyncDisposable {
  readonly directory: string;
}

/**
 * Takes an exclusive lock on the file `.lock` in a directory, and keeps it until the result is disposed of. The kernel takes it back when this process dies, however it dies: the holder is flock(1) (Debian's
 * util-linux, always installed) around a `cat` that ends with our end of its standard input.
 *
 * @throws GlasshouseError `image_build_failed` when another process holds it, `tool_missing` without flock.
 */
export async function lockDirectory(directory: string): Promise<LockedDirectory> {
  const path = join(directory, '.lock');
  const child = spawn(
    'flock',
    [
      '--nonblock',
      '--conflict-exit-code',
      String(HELD_BY_ANOTHER),
      path,
      'sh',
      '-c',
      'echo acquired; exec cat',
    ],
    // A group of its own: Ctrl-C is for us, and the lock must outlive our cleaning up.
    { detached: true, stdio: ['pipe', 'pipe', 'ignore'] },
  );
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      resolve();
    });
  });
  await new Promise<void>((resolve, reject) => {
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk;
      if (said === ACQUIRED) resolve();
    });
    child.once('error', (error) => {
      reject(new GlasshouseError('tool_missing', 'flock is not installed (util-linux).', { cause: error }));
    });
    child.once('exit', (exitCode) => {
      const why = exitCode === HELD_BY_ANOTHER ? 'another process is at it' : 'flock failed';
      reject(new GlasshouseError('image_build_failed', `${path} cannot be locked: ${why}.`));
    });
  });
  return {
    directory,
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
