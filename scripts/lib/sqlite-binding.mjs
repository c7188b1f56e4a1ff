// @ts-check
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { isStamped, writeStamp } from './fingerprint.mjs';
import { findHeaders } from './node-runtime.mjs';
import { inRepository } from './paths.mjs';
import { runLogged, toolEnvironment } from './processes.mjs';
import { withProgress } from './progress.mjs';

const SOURCE = inRepository('node_modules', 'better-sqlite3');

/**
 * Compiles better-sqlite3 for one runtime. Bindings for several runtimes live side by side where the package
 * `bindings` looks for them, and are kept outside of node_modules as well, so that a new installation of the
 * npm packages does not compile them again.
 *
 * @param {import('./node-runtime.mjs').NodeRuntime} runtime
 * @param {AbortSignal} signal
 */
export async function ensureSqliteBinding(runtime, signal) {
  const name = `node-v${runtime.abi}-linux-${process.arch}`;
  // The runtime's headers are compiled into the binding, and they change within one ABI.
  const key = `${lockedVersion()} ${runtime.version}`;
  const installed = join(SOURCE, 'lib', 'binding', name, 'better_sqlite3.node');
  // A binding here would be preferred to all others, whatever runtime it was made for.
  rmSync(join(SOURCE, 'build'), { recursive: true, force: true });
  if (existsSync(installed) && isStamped(`${installed}.key`, key)) return;
  const kept = inRepository('build', 'native', name, 'better_sqlite3.node');
  if (!existsSync(kept) || !isStamped(`${kept}.key`, key)) {
    await withProgress(`compiling better-sqlite3 for Node.js ${runtime.version} (one to two minutes)`, () =>
      compile(runtime, kept, signal),
    );
    writeStamp(`${kept}.key`, key);
  }
  mkdirSync(dirname(installed), { recursive: true });
  copyFileSync(kept, `${installed}.new`);
  renameSync(`${installed}.new`, installed);
  writeStamp(`${installed}.key`, key);
}

/**
 * @param {import('./node-runtime.mjs').NodeRuntime} runtime
 * @param {string} target
 * @param {AbortSignal} signal
 */
async function compile(runtime, target, signal) {
  const headers = await findHeaders(runtime, signal);
  const work = `${dirname(target)}.work`;
  rmSync(work, { recursive: true, force: true });
  // The place of the binding inside the copy is skipped, not the copy's own: that one has node_modules above it.
  cpSync(SOURCE, work, {
    recursive: true,
    filter: (path) => !/^(build|lib\/binding)/.test(relative(SOURCE, path)),
  });
  const log = inRepository('build', 'logs', 'better-sqlite3.log');
  const gyp = inRepository('node_modules', 'node-gyp', 'bin', 'node-gyp.js');
  const options = { log, signal, cwd: work, env: gypEnvironment() };
  await runLogged(
    runtime.executable,
    [gyp, 'rebuild', '--release', `--nodedir=${headers}`, '--jobs=max'],
    options,
  );
  const built = join(work, 'build', 'Release', 'better_sqlite3.node');
  const probe = 'process.dlopen({ exports: {} }, process.argv[1])';
  await runLogged(runtime.executable, ['--eval', probe, built], options);
  mkdirSync(dirname(target), { recursive: true });
  renameSync(built, target);
  rmSync(work, { recursive: true, force: true });
}

/** node-gyp takes every npm setting for an option of its own; those of the user may name another Node.js. */
function gypEnvironment() {
  return Object.fromEntries(
    Object.entries(toolEnvironment).filter(([name]) => !name.toLowerCase().startsWith('npm_config_')),
  );
}

/** Version and integrity of the package, as locked. */
function lockedVersion() {
  const lock = JSON.parse(readFileSync(inRepository('package-lock.json'), 'utf8'));
  const { version, integrity } = lock.packages['node_modules/better-sqlite3'];
  return `${version} ${integrity}`;
}
