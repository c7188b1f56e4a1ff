import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync, readSync, readlinkSync } from 'node:fs';

import { killChild } from './child-process.js';
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

/** The first descriptor that holds a pipe in the donor. */
const FIRST_DESCRIPTOR = 3;
/** A shell names descriptors with one digit. */
const MOST_PIPES = 7;
const FILLING = 'x\n';

/**
 * Makes one real pipe for each of `ends` (7 at most).
 *
 * Node.js has no pipe(2) and offers children socket pairs, on which `test -p /dev/stdout` fails and `/dev/stdout`
 * cannot be opened. A FIFO is not the same either: opening it again waits for the other side. So a shell makes the
 * pipes, as here-documents, and we open them through `/proc/PID/fd` (proc_pid_fd(5)) before it goes.
 */
export async function makePipes(ends: readonly OwnEnd[]): Promise<Pipe[]> {
  if (ends.length === 0) return [];
  if (ends.length > MOST_PIPES)
    throw new GlasshouseError('internal', `Cannot make ${ends.length} pipes at once`);
  const donor = spawn('/bin/sh', ['-c', donorScript(ends.length)], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {},
  });
  const ended = endOf(donor);
  try {
    await readiness(donor, ended);
    return openAll(`/proc/${donor.pid ?? 0}/fd`, ends);
  } finally {
    killChild(donor);
    // Only then is nobody else connected to the pipes.
    await ended;
  }
}

/** Opens the here-documents, says so, and waits until it is killed or we are gone. */
function donorScript(count: number): string {
  const numbers = Array.from({ length: count }, (_, index) => FIRST_DESCRIPTOR + index);
  const redirections = numbers.map((number) => `${number}<<E`).join(' ');
  return `exec ${redirections}\n${`${FILLING}E\n`.repeat(count)}echo\nread -r _\n`;
}

function endOf(donor: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => {
    donor.once('error', resolve);
    donor.once('close', resolve);
  });
}

async function readiness(donor: ChildProcess, ended: Promise<unknown>): Promise<void> {
  donor.stdin?.on('error', () => undefined);
  const ready = new Promise<'ready'>((resolve) => {
    donor.stdout?.once('data', () => {
      resolve('ready');
    });
  });
  const first = await Promise.race([ready, ended]);
  if (first === 'ready') return;
  const missing = systemErrorCode(first) === 'ENOENT';
  throw new GlasshouseError(
    missing ? 'tool_missing' : 'backend_unavailable',
    missing
      ? '/bin/sh does not exist'
      : '/bin/sh could not make pipes: this machine has no room for a process',
    { cause: first },
  );
}

function openAll(directory: string, ends: readonly OwnEnd[]): Pipe[] {
  const pipes: Pipe[] = [];
  try {
    ends.forEach((end, index) => pipes.push(openPipe(`${directory}/${FIRST_DESCRIPTOR + index}`, end)));
    return pipes;
  } catch (error) {
    for (const pipe of pipes) closePipe(pipe);
    throw asGlasshouseError(error, 'backend_unavailable');
  }
}

function openPipe(path: string, ownEnd: OwnEnd): Pipe {
  if (!readlinkSync(path).startsWith('pipe:')) {
    throw new GlasshouseError('backend_unavailable', '/bin/sh makes no pipes for here-documents: use dash');
  }
  const ownMode = ownEnd === 'read' ? constants.O_RDONLY : constants.O_WRONLY;
  const theirMode = ownEnd === 'read' ? constants.O_WRONLY : constants.O_RDONLY;
  const ours = openSync(path, ownMode | constants.O_NONBLOCK);
  try {
    const theirs = openSync(path, theirMode);
    emptyPipe(path);
    return { ours, theirs };
  } catch (error) {
    closeSync(ours);
    throw error;
  }
}

/** Takes out what the here-document put in. */
function emptyPipe(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    readSync(descriptor, Buffer.alloc(FILLING.length));
  } finally {
    closeSync(descriptor);
  }
}

export function closePipe(pipe: Pipe): void {
  closeSync(pipe.ours);
  closeSync(pipe.theirs);
}
