// @ts-check
import { existsSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { contentDigest, fingerprint, isStamped, writeStamp } from './fingerprint.mjs';
import { inRepository } from './paths.mjs';
import { runLogged } from './processes.mjs';
import { say, withProgress } from './progress.mjs';
import { SetupError } from './setup-error.mjs';

const guestInit = inRepository('build', 'guest', 'init');

/**
 * Compiles the TypeScript unless nothing has changed.
 * @param {AbortSignal} signal
 */
export async function ensureTypeScript(signal) {
  const stamp = inRepository('dist', '.glasshouse-stamp');
  const compiler = contentDigest(inRepository('package-lock.json'));
  const key = fingerprint(['src', 'test', 'bench', 'tsconfig.json'], [compiler]);
  if (isStamped(stamp, key)) return;
  const tsc = inRepository('node_modules', 'typescript', 'bin', 'tsc');
  const log = inRepository('build', 'logs', 'tsc.log');
  await withProgress('compiling TypeScript', () =>
    runLogged(process.execPath, [tsc, '--pretty', 'false'], { log, signal }),
  );
  writeStamp(stamp, key);
}

/**
 * Builds guest init unless nothing has changed.
 * @param {AbortSignal} signal
 */
export async function ensureGuestInit(signal) {
  const stamp = inRepository('build', 'guest', '.glasshouse-stamp');
  const key = fingerprint(['guest']);
  if (existsSync(guestInit) && isStamped(stamp, key)) return;
  const log = inRepository('build', 'logs', 'guest.log');
  const build = inRepository('build', 'guest');
  await withProgress('building guest init', () =>
    runLogged('make', ['-C', inRepository('guest'), `BUILD=${build}`], { log, signal }),
  );
  if (!existsSync(guestInit)) throw new SetupError(`make -C guest has not built ${guestInit}.`);
  writeStamp(stamp, key);
}

/**
 * Builds the observer and the program that holds commands for it, unless nothing has changed.
 * @param {AbortSignal} signal
 */
export async function ensureObserver(signal) {
  const build = inRepository('build', 'observer');
  const stamp = inRepository('build', 'observer', '.glasshouse-stamp');
  const key = fingerprint(['bpf', 'guest']);
  const isBuilt = ['observer', 'hold'].every((name) => existsSync(inRepository('build', 'observer', name)));
  if (isBuilt && isStamped(stamp, key)) return;
  const log = inRepository('build', 'logs', 'observer.log');
  await withProgress('building the observer', () =>
    runLogged('make', ['-C', inRepository('bpf'), `BUILD=${build}`], { log, signal }),
  );
  writeStamp(stamp, key);
}

/**
 * Builds the guest image, or the part of it that is out of date. Needs the compiled TypeScript and guest init.
 * @param {AbortSignal} signal
 */
export async function ensureGuestImage(signal) {
  const images = pathToFileURL(inRepository('dist', 'src', 'images', 'build.js')).href;
  const { DEFAULT_SUITE, ensureImage } = await import(images);
  const options = {
    directory: inRepository('build', 'image'),
    initBinary: guestInit,
    suite: DEFAULT_SUITE,
    mirror: process.env['GLASSHOUSE_DEBIAN_MIRROR'] || null,
    signal,
  };
  /** @type {number | null} */
  let started = null;
  const onProgress = (/** @type {string} */ message) => {
    started ??= performance.now();
    say(`guest image: ${message}`);
  };
  try {
    await ensureImage({ ...options, onProgress });
  } catch (error) {
    signal.throwIfAborted();
    const remedy =
      'If the network is the trouble, set GLASSHOUSE_DEBIAN_MIRROR to a mirror that can be reached.';
    throw new SetupError(String(/** @type {Error} */ (error).message), remedy, error);
  }
  if (started === null) return;
  say(`guest image: done in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
