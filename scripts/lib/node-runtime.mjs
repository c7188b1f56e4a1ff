// @ts-check
import { existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { npm } from './npm-packages.mjs';
import { inRepository } from './paths.mjs';
import { runLogged } from './processes.mjs';
import { SetupError } from './setup-error.mjs';

/**
 * @typedef {object} NodeRuntime
 * @property {string} executable
 * @property {string} version without the leading `v`
 * @property {string} abi `process.versions.modules`
 */

/** The oldest Node.js that everything here works on. */
export const OLDEST_NODE = [20, 12];

/** @type {NodeRuntime} */
export const thisRuntime = {
  executable: process.execPath,
  version: process.versions.node,
  abi: process.versions.modules,
};

/** @param {string} version */
export function assertNodeVersion(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw new SetupError(
    `Glasshouse needs Node.js ${OLDEST_NODE.join('.')} or later; this is ${version}.`,
    'Debian 13 has one: apt-get install nodejs npm',
  );
}

/**
 * The directory that holds `include/node` for exactly this runtime: beside it where its package brings the
 * headers, else from the npm package that carries the same version.
 *
 * @param {NodeRuntime} runtime
 * @param {AbortSignal} signal
 */
export async function findHeaders(runtime, signal) {
  const prefix = dirname(dirname(realpathSync(runtime.executable)));
  if (headersVersion(prefix) === runtime.version) return prefix;
  const fetched = inRepository('build', 'node-headers', runtime.version);
  if (headersVersion(fetched) === runtime.version) return fetched;
  try {
    await fetchHeaders(runtime.version, fetched, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new SetupError(
      `There are no headers of Node.js ${runtime.version}, which the SQLite binding is compiled with. ${String(error)}`,
      'Where Node.js came from Debian, type: apt-get install libnode-dev',
      error,
    );
  }
  return fetched;
}

/**
 * @param {string} version
 * @param {string} target
 * @param {AbortSignal} signal
 */
async function fetchHeaders(version, target, signal) {
  const download = `${target}.download`;
  rmSync(download, { recursive: true, force: true });
  mkdirSync(download, { recursive: true });
  await npm(['pack', '--silent', `node-linux-${process.arch}@${version}`], download, signal);
  const [archive] = readdirSync(download);
  if (archive === undefined) throw new Error('npm has packed nothing');
  const log = inRepository('build', 'logs', 'npm.log');
  const strip = ['--extract', '--strip-components=1', `--file=${archive}`, 'package/include'];
  await runLogged('tar', strip, { log, signal, cwd: download });
  rmSync(join(download, archive));
  rmSync(target, { recursive: true, force: true });
  renameSync(download, target);
}

/**
 * @param {string} prefix
 * @returns {string | null}
 */
function headersVersion(prefix) {
  const header = join(prefix, 'include', 'node', 'node_version.h');
  if (!existsSync(header)) return null;
  const text = readFileSync(header, 'utf8');
  const numbers = ['MAJOR', 'MINOR', 'PATCH'].map(
    (part) => new RegExp(`^#define NODE_${part}_VERSION (\\d+)$`, 'm').exec(text)?.[1],
  );
  return numbers.join('.');
}
