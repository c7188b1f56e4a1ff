import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';

export type Argv = readonly [string, ...string[]];

/** Runs it to its end. Throws when it fails. */
export function run([program, ...args]: Argv, cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${status ?? '-'}: ${stderr}`);
  return stdout;
}

/** Milliseconds that it takes. Throws when it fails. */
export function timedRun([program, ...args]: Argv, cwd: string): number {
  const begunAt = performance.now();
  const { status, error } = spawnSync(program, args, { cwd, stdio: 'ignore' });
  const elapsed = performance.now() - begunAt;
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${status ?? '-'}`);
  return elapsed;
}

export function isThere(program: string): boolean {
  return ['/usr/bin', '/usr/sbin'].some((directory) => isExecutable(path.join(directory, program)));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // That is the answer.
  }
}
