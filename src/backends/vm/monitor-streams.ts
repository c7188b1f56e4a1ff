import { type ChildProcess } from 'node:child_process';
import { type Readable } from 'node:stream';

import { killChild } from '../../base/child-process.js';
import { GlasshouseError } from '../../base/errors.js';

/**
 * What a monitor that was just spawned writes. Where no descriptors are left, Node.js hands out a process without streams
 * and tells of it later, by an event that would end us if nobody listened. Throws `backend_unavailable`.
 */
export function outputOf(child: ChildProcess, name: string): { stdout: Readable; stderr: Readable } {
  const { stdout, stderr } = child as { stdout?: Readable | null; stderr?: Readable | null };
  if (stdout && stderr) return { stdout, stderr };
  child.once('error', () => undefined);
  killChild(child);
  throw new GlasshouseError(
    'backend_unavailable',
    `${name} cannot be started: too many files are open. Raise how many may be (ulimit -n).`,
  );
}
