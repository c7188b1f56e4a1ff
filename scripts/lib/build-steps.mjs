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
  await ensureMade('guest', 'guest init', guestInit, signal);
}

/**
 * Builds what helps on the host unless nothing has changed.
 * @param {AbortSignal} signal
 */
export async function ensureHostHelpers(signal) {
  await ensureMade('host', 'host helpers', inRepository('build', 'host', 'monitor-template.so'), signal);
}

/**
 * @param {string} directory of the sources, with a Makefile
 * @param {string} what for people
 * @param {string} product that the Makefile builds
 * @param {AbortSignal} signal
 */
async function ensureMade(directory, what, product, signal) {
  const build = inRepository('build', directory);
  const stamp = inRepository('build', directory, '.glasshouse-stamp');
  const key = fingerprint([directory]);
  if (existsSync(product) && isStamped(stamp, key)) return;
  const log = inRepository('build', 'logs', `${directory}.log`);
  await withProgress(`building ${what}`, () =>
    runLogged('make', ['-C', inRepository(directory), `BUILD=${build}`], { log, signal }),
  );
  if (!existsSync(product)) throw new SetupError(`make -C ${directory} has not built ${product}.`);
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
