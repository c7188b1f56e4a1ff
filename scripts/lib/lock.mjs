// @ts-check
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { inRepository } from './paths.mjs';
import { SetupError } from './setup-error.mjs';

/** How long the lock may be busy before the user is told, in milliseconds. */
const PATIENCE_MS = 500;

/**
 * Runs `work` while no other set-up of this clone runs. The kernel takes the lock back when this process dies,
 * however it dies: the holder is flock(1) around a `cat` that ends with our end of its standard input.
 *
 * @template Result
 * @param {AbortSignal} signal
 * @param {() => Promise<Result>} work
 * @returns {Promise<Result>}
 */
export async function withSetupLock(signal, work) {
  mkdirSync(inRepository('build'), { recursive: true });
  const lock = inRepository('build', '.setup-lock');
  const holder = spawn('flock', [lock, 'sh', '-c', 'echo locked; exec cat'], {
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const stop = () => holder.stdin.destroy();
  const waiting = setTimeout(() => {
    process.stderr.write('glasshouse: waiting for another set-up of this clone to finish\n');
  }, PATIENCE_MS);
  const onAbort = () => holder.kill('SIGTERM');
  try {
    await new Promise((resolve, reject) => {
      signal.addEventListener('abort', onAbort, { once: true });
      holder.stdout.once('data', resolve);
      holder.once('error', (error) => {
        reject(new SetupError('flock is not installed.', 'apt-get install util-linux', error));
      });
      holder.once('exit', () => reject(new SetupError(`${lock} could not be locked.`)));
    });
  } finally {
    clearTimeout(waiting);
    signal.removeEventListener('abort', onAbort);
  }
  try {
    return await work();
  } finally {
    stop();
  }
}
