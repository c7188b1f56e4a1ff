// @ts-check
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { delimiter, dirname } from 'node:path';
import { finished } from 'node:stream/promises';
import process from 'node:process';
import { repository } from './paths.mjs';
import { SetupError } from './setup-error.mjs';

/** Milliseconds between SIGTERM and SIGKILL. */
const TERMINATION_GRACE_MS = 5_000;

/** The environment of every step; Debian keeps some tools where only root's PATH looks. */
export const toolEnvironment = {
  ...process.env,
  PATH: [process.env['PATH'] ?? '', '/usr/local/sbin', '/usr/sbin', '/sbin'].join(delimiter),
};

/**
 * Runs a step's program in a process group of its own, which ends with the signal, and writes all its output to
 * a log; a failure shows the end of it.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ log: string, signal: AbortSignal, cwd?: string, env?: NodeJS.ProcessEnv }} options
 * @returns {Promise<void>}
 */
export async function runLogged(command, args, { log, signal, cwd = repository, env = toolEnvironment }) {
  signal.throwIfAborted();
  mkdirSync(dirname(log), { recursive: true });
  const output = createWriteStream(log, { flags: 'a' });
  output.write(`$ ${[command, ...args].join(' ')}\n`);
  try {
    const child = spawn(command, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.pipe(output, { end: false });
    child.stderr.pipe(output, { end: false });
    const exitCode = await endOf(child, signal, (name) => killGroup(child.pid, name));
    signal.throwIfAborted();
    if (exitCode !== 0) {
      output.end();
      await finished(output);
      throw new SetupError(`${command} failed:\n${endOfFile(log)}`, `The whole output is in ${log}.`);
    }
  } finally {
    output.end();
  }
}

/**
 * Runs a program with this process's own terminal: for what may ask the user something, and for what the user
 * wants to watch. Resolves to its exit code.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ signal: AbortSignal, env?: NodeJS.ProcessEnv, input?: 'inherit' | 'ignore' }} options
 * @returns {Promise<number>}
 */
export async function runAttached(command, args, { signal, env = toolEnvironment, input = 'inherit' }) {
  signal.throwIfAborted();
  const child = spawn(command, args, { cwd: repository, env, stdio: [input, 'inherit', 'inherit'] });
  return endOf(child, signal, (name) => child.kill(name));
}

/**
 * Resolves to the exit code of a child; 128 and more for a signal.
 *
 * @param {import('node:child_process').ChildProcess} child
 * @param {AbortSignal} signal
 * @param {(name: NodeJS.Signals) => void} kill
 * @returns {Promise<number>}
 */
function endOf(child, signal, kill) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const onAbort = () => {
    kill('SIGTERM');
    timer = setTimeout(() => kill('SIGKILL'), TERMINATION_GRACE_MS);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(new SetupError(`${child.spawnfile} could not be started: ${error.message}`, null, error));
    });
    child.once('close', (exitCode) => resolve(exitCode ?? 128));
  }).finally(() => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  });
}

/**
 * @param {number | undefined} leader
 * @param {NodeJS.Signals} name
 */
function killGroup(leader, name) {
  if (leader === undefined) return;
  try {
    process.kill(-leader, name);
  } catch (error) {
    // The group has ended already.
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
  }
}

/** @param {string} path */
function endOfFile(path) {
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-30).join('\n');
}
