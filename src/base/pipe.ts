import { spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { GlasshouseError, asGlasshouseError, systemErrorCode } from './errors.js';

/** Which end of a pipe stays in this process. */
export type OwnEnd = 'read' | 'write';

/** A pipe(7) between this process and a child. Both descriptors are close-on-exec and owned by the caller. */
export interface Pipe {
  /** Our end, non-blocking: fit for PipeReader or PipeWriter. */
  readonly ours: number;
  /** The child's end, blocking, as a shell would make it. */
  readonly theirs: number;
}

/**
 * Makes one real pipe for each of `ends`. Node.js offers children only socket pairs, which are not pipes:
 * `test -p /dev/stdout` fails on them and `/dev/stdout` cannot be opened. A FIFO without a name is a pipe.
 */
export async function makePipes(ends: readonly OwnEnd[]): Promise<Pipe[]> {
  if (ends.length === 0) return [];
  const directory = makePrivateDirectory();
  try {
    const paths = ends.map((_, index) => join(directory, String(index)));
    await makeFifos(paths);
    return openAll(paths, ends);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function makePrivateDirectory(): string {
  try {
    return mkdtempSync(join(tmpdir(), 'glasshouse-pipe-'));
  } catch (error) {
    throw asGlasshouseError(error, 'backend_unavailable');
  }
}

function makeFifos(paths: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('mkfifo', ['-m', '600', ...paths], { stdio: ['ignore', 'ignore', 'pipe'] });
    let message = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (message += text));
    child.once('error', (cause) => {
      const missing = systemErrorCode(cause) === 'ENOENT';
      const advice = missing ? 'mkfifo is not installed; install coreutils' : 'mkfifo could not be started';
      reject(new GlasshouseError(missing ? 'tool_missing' : 'backend_unavailable', advice, { cause }));
    });
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(fifoError(message.trim()));
    });
  });
}

function fifoError(message: string): GlasshouseError {
  return new GlasshouseError(
    message.includes('No space left') ? 'disk_full' : 'backend_unavailable',
    `Cannot make a FIFO in ${tmpdir()} (set TMPDIR to a directory where that works): ${message}`,
  );
}

function openAll(paths: readonly string[], ends: readonly OwnEnd[]): Pipe[] {
  const pipes: Pipe[] = [];
  try {
    paths.forEach((path, index) => pipes.push(openPipe(path, ends[index] ?? 'read')));
    return pipes;
  } catch (error) {
    for (const pipe of pipes) closePipe(pipe);
    throw asGlasshouseError(error, 'backend_unavailable');
  }
}

/** No open() here waits for the other side: the descriptor opened for both directions is both sides (fifo(7)). */
function openPipe(path: string, ownEnd: OwnEnd): Pipe {
  const ownMode = ownEnd === 'read' ? constants.O_RDONLY : constants.O_WRONLY;
  const theirMode = ownEnd === 'read' ? constants.O_WRONLY : constants.O_RDONLY;
  const bothSides = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const ours = openSync(path, ownMode | constants.O_NONBLOCK);
    try {
      return { ours, theirs: openSync(path, theirMode) };
    } catch (error) {
      closeSync(ours);
      throw error;
    }
  } finally {
    closeSync(bothSides);
  }
}

function closePipe(pipe: Pipe): void {
  closeSync(pipe.ours);
  closeSync(pipe.theirs);
}
