// @ts-check
import { constants } from 'node:os';
import {
  ensureGuestImage,
  ensureGuestInit,
  ensureHostHelpers,
  ensureObserver,
  ensureTypeScript,
} from './build-steps.mjs';
import { ensureBundle } from './bundle.mjs';
import { ensureDebianPackages } from './debian-packages.mjs';
import { withSetupLock } from './lock.mjs';
import { assertNodeVersion, thisRuntime } from './node-runtime.mjs';
import { ensureNpmPackages } from './npm-packages.mjs';
import { repository } from './paths.mjs';
import { SetupError } from './setup-error.mjs';
import { ensureSqliteBinding } from './sqlite-binding.mjs';

/**
 * Brings a clone to where everything in it runs. Every step looks first whether it is up to date.
 * @param {AbortSignal} signal
 */
export async function setUp(signal) {
  assertNodeVersion(thisRuntime.version);
  await withSetupLock(signal, async () => {
    await ensureDebianPackages(signal);
    await ensureNpmPackages(repository, 'npm packages', signal);
    await inParallel(signal, [
      (together) => ensureSqliteBinding(thisRuntime, together),
      async (together) => {
        await inParallel(together, [ensureTypeScript, ensureGuestInit, ensureHostHelpers, ensureObserver]);
        await ensureGuestImage(together);
      },
    ]);
    await ensureBundle(signal);
  });
}

/**
 * Runs steps side by side; the first that fails ends the others.
 *
 * @param {AbortSignal} signal
 * @param {readonly ((signal: AbortSignal) => Promise<void>)[]} steps
 */
async function inParallel(signal, steps) {
  const failed = new AbortController();
  const together = AbortSignal.any([signal, failed.signal]);
  const results = await Promise.allSettled(
    steps.map((step) =>
      step(together).catch((error) => {
        failed.abort(error);
        throw failed.signal.reason;
      }),
    ),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/**
 * Runs a script's work with a signal that Ctrl-C and SIGTERM abort, and turns what it throws into a message and
 * an exit code.
 *
 * @param {(signal: AbortSignal) => Promise<number>} work resolves to the exit code
 */
export async function runScript(work) {
  const controller = new AbortController();
  /** @type {NodeJS.Signals | null} */
  let stoppedBy = null;
  /** @param {NodeJS.Signals} name */
  const stop = (name) => {
    stoppedBy ??= name;
    controller.abort(new SetupError(`Stopped by ${name}.`));
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    process.exitCode = await work(controller.signal);
  } catch (error) {
    report(error);
    process.exitCode = 1;
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
  if (stoppedBy !== null) process.exitCode = 128 + constants.signals[stoppedBy];
}

/** @param {unknown} error */
function report(error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`glasshouse: ${error.message}\n`);
  if (error.remedy !== null) process.stderr.write(`glasshouse: ${error.remedy}\n`);
}
