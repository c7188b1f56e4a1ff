// @ts-check
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { inRepository } from './paths.mjs';
import { say, withProgress } from './progress.mjs';
import { runAttached, runLogged, toolEnvironment } from './processes.mjs';
import { SetupError } from './setup-error.mjs';

/**
 * @typedef {object} Requirement
 * @property {string} package the Debian package
 * @property {string} why
 * @property {string} command a program of it, by which it is found where there is no dpkg
 * @property {boolean} onlyWithoutRoot
 */

/** @type {readonly Requirement[]} every Debian package that a clone needs, and nothing else */
export const REQUIREMENTS = [
  need('qemu-system-x86', 'runs the virtual machines', 'qemu-system-x86_64'),
  need('mmdebstrap', 'builds the root file system of the guest', 'mmdebstrap'),
  need('e2fsprogs', 'makes file systems for the guest', 'mke2fs'),
  need('gcc', 'compiles guest init', 'gcc'),
  need('libc6-dev', 'has the C library that guest init is linked with', 'ld'),
  need('make', 'builds guest init and the SQLite binding', 'make'),
  need('g++', 'compiles the SQLite binding', 'g++'),
  need('python3', 'is needed by node-gyp and mmdebstrap', 'python3'),
  need('clang', 'compiles the BPF programs of the observer', 'clang'),
  need('bpftool', 'makes them a part of the observer', 'bpftool'),
  need('libbpf-dev', 'has the library that loads them', 'clang'),
  need('libelf-dev', 'is needed by libbpf', 'clang'),
  need('zlib1g-dev', 'is needed by libelf', 'clang'),
  need('strace', 'is what observation is tested against', 'strace'),
  need('git', 'is one of the commands that observation is tested with', 'git'),
  need('uidmap', 'lets mmdebstrap work without root', 'newuidmap', true),
  need('fakeroot', 'gives the files of the guest their owners without root', 'fakeroot', true),
];

/**
 * What tests hold our evidence against: other people's verifiers. By a program or a file of it, because some of them
 * come from elsewhere than Debian.
 *
 * @type {readonly { package: string, path: string }[]}
 */
const TEST_TOOLS = [
  { package: 'openssl', path: 'openssl' },
  { package: 'jq', path: 'jq' },
  { package: 'golang-go', path: 'go' },
  {
    package: 'golang-golang-x-mod-dev',
    path: '/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog',
  },
];

/**
 * @param {string} name
 * @param {string} why
 * @param {string} command
 * @returns {Requirement}
 */
function need(name, why, command, onlyWithoutRoot = false) {
  return { package: name, why, command, onlyWithoutRoot };
}

/**
 * Installs what is missing, as root or with sudo.
 * @param {AbortSignal} signal
 */
export async function ensureDebianPackages(signal) {
  const isRoot = process.getuid?.() === 0;
  const needed = REQUIREMENTS.filter((requirement) => !isRoot || !requirement.onlyWithoutRoot);
  const missing = missingRequirements(needed);
  if (missing.length === 0) return;
  const names = missing.map((requirement) => requirement.package);
  const byHand = `Type: ${isRoot ? '' : 'sudo '}apt-get update && ${isRoot ? '' : 'sudo '}apt-get install ${names.join(' ')}`;
  if (!isOnPath('apt-get')) {
    throw new SetupError(
      `Glasshouse needs programs that are not installed:\n${explain(missing)}`,
      'This is not Debian: install them with the package manager of this system.',
    );
  }
  if (!isRoot && !isOnPath('sudo')) {
    throw new SetupError(`Debian packages are missing and there is no sudo:\n${explain(missing)}`, byHand);
  }
  for (const { package: name, why } of missing) say(`needs the Debian package ${name}, which ${why}`);
  try {
    if (!isRoot) await askForPassword(signal);
    await withProgress(`installing Debian packages: ${names.join(' ')}`, () =>
      install(names, isRoot, signal),
    );
  } catch (error) {
    signal.throwIfAborted();
    throw new SetupError(
      `Debian packages could not be installed:\n${explain(missing)}\n${String(error)}`,
      byHand,
      error,
    );
  }
}

/**
 * Installs what only tests use. Where that cannot be done, those tests are skipped and say why.
 * @param {AbortSignal} signal
 */
export async function ensureTestTools(signal) {
  const isRoot = process.getuid?.() === 0;
  const names = TEST_TOOLS.filter(({ path }) =>
    path.startsWith('/') ? !existsSync(path) : !isOnPath(path),
  ).map((tool) => tool.package);
  if (names.length === 0 || !isOnPath('apt-get')) return;
  try {
    await withProgress(`installing Debian packages for tests: ${names.join(' ')}`, () =>
      install(names, isRoot, signal),
    );
  } catch (error) {
    signal.throwIfAborted();
    say(`could not install ${names.join(' ')}; the tests that need them are skipped: ${String(error)}`);
  }
}

/**
 * The lists may be missing or too old: then they are fetched, and it is tried once more.
 *
 * @param {readonly string[]} names
 * @param {boolean} isRoot
 * @param {AbortSignal} signal
 */
async function install(names, isRoot, signal) {
  const options = ['-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120'];
  try {
    await apt([...options, 'install', ...names], isRoot, signal);
  } catch {
    signal.throwIfAborted();
    await apt(['update'], isRoot, signal);
    await apt([...options, 'install', ...names], isRoot, signal);
  }
}

/**
 * @param {readonly string[]} args
 * @param {boolean} isRoot
 * @param {AbortSignal} signal
 */
async function apt(args, isRoot, signal) {
  const command = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...args];
  const [program = '', ...rest] = isRoot ? command : ['sudo', '-n', ...command];
  await runLogged(program, rest, { log: inRepository('build', 'logs', 'apt.log'), signal });
}

/**
 * sudo must ask before the work goes on in the background.
 * @param {AbortSignal} signal
 */
async function askForPassword(signal) {
  const flags = process.stdin.isTTY ? ['-v'] : ['-n', 'true'];
  if ((await runAttached('sudo', flags, { signal })) !== 0) throw new Error('sudo did not let us in');
}

/** @param {readonly Requirement[]} needed */
function missingRequirements(needed) {
  const query = spawnSync(
    'dpkg-query',
    [
      '--show',
      '--showformat=${binary:Package} ${db:Status-Status}\\n',
      ...needed.map((each) => each.package),
    ],
    { encoding: 'utf8', env: toolEnvironment },
  );
  if (query.error !== undefined) return needed.filter((each) => !isOnPath(each.command));
  const installed = installedPackages(query.stdout);
  return needed.filter((each) => !installed.has(each.package));
}

/**
 * Names of the installed packages in lines of `name[:architecture] status`.
 * @param {string} listing
 */
export function installedPackages(listing) {
  const names = listing
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, status]) => status === 'installed')
    .map(([name = '']) => name.replace(/:.*/, ''));
  return new Set(names);
}

/** @param {readonly Requirement[]} missing */
function explain(missing) {
  return missing.map((each) => `  ${each.package} (${each.why})`).join('\n');
}

/** @param {string} command */
function isOnPath(command) {
  return toolEnvironment.PATH.split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, command), constants.X_OK);
      return true;
    } catch {
      // Not in this directory.
      return false;
    }
  });
}
