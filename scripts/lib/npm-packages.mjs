// @ts-check
import { basename, join } from 'node:path';
import { contentDigest, isStamped, writeStamp } from './fingerprint.mjs';
import { inRepository, repository } from './paths.mjs';
import { runLogged, toolEnvironment } from './processes.mjs';
import { withProgress } from './progress.mjs';

/**
 * Installs the locked npm packages below a directory unless they are there already.
 *
 * @param {string} directory with a package.json and a package-lock.json
 * @param {string} what for people
 * @param {AbortSignal} signal
 */
export async function ensureNpmPackages(directory, what, signal) {
  const key = contentDigest(join(directory, 'package-lock.json'));
  // Inside node_modules, so that it goes when they go.
  const stamp = join(directory, 'node_modules', '.glasshouse-lock');
  if (isStamped(stamp, key)) return;
  // No scripts: nothing that a package brings is run at installation. NODE_ENV must not hide the compiler.
  const flags = ['ci', '--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
  await withProgress(`installing ${what}`, () => npm(flags, directory, signal));
  writeStamp(stamp, key);
}

/**
 * Runs the npm that runs us, or else the one on the PATH.
 *
 * @param {readonly string[]} args
 * @param {string} directory
 * @param {AbortSignal} signal
 */
export async function npm(args, directory, signal) {
  const outer = process.env['npm_execpath'];
  const [command, ...before] =
    outer !== undefined && basename(outer) === 'npm-cli.js' ? [process.execPath, outer] : ['npm'];
  await runLogged(command, [...before, ...args], {
    log: inRepository('build', 'logs', 'npm.log'),
    signal,
    cwd: directory,
    env: withoutOuterPackage(),
  });
}

/** npm tells its scripts about the package they belong to; another npm must not take that for its own. */
function withoutOuterPackage() {
  const entries = Object.entries(toolEnvironment).filter(
    ([name]) => !/^npm_(package|lifecycle|command|config_local_prefix)/.test(name),
  );
  return { ...Object.fromEntries(entries), INIT_CWD: repository };
}
