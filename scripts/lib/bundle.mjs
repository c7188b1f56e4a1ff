// @ts-check
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contentDigest, fingerprint, isStamped, writeStamp } from './fingerprint.mjs';
import { inRepository } from './paths.mjs';
import { runLogged, toolEnvironment } from './processes.mjs';
import { withProgress } from './progress.mjs';

const directory = inRepository('dist', 'src', 'bundle');
const bundle = join(directory, 'main.cjs');

/** What only the other commands have: the bundle is for `run`. */
const OTHER_COMMANDS = ['serve', 'verify', 'receipts', 'doctor', 'image', 'keys'].map(
  (name) => `./${name}.js`,
);

/**
 * Joins the compiled program into one file and stores V8's compiled code beside it, for `glasshouse run`. Needs the
 * compiled TypeScript and better-sqlite3.
 * @param {AbortSignal} signal
 */
export async function ensureBundle(signal) {
  const stamp = join(directory, '.glasshouse-stamp');
  const versions = [process.version, contentDigest(inRepository('package-lock.json'))];
  const key = fingerprint(
    [
      'src',
      'tsconfig.json',
      ...['bundle.mjs', 'bundled-binding.cjs', 'code-cache.cjs'].map((name) => `scripts/lib/${name}`),
    ],
    versions,
  );
  if (existsSync(bundle) && isStamped(stamp, key)) return;
  await withProgress('bundling the command line', async () => {
    await joinFiles();
    await storeCompiledCode(signal);
  });
  writeStamp(stamp, key);
}

async function joinFiles() {
  const { build } = await import('esbuild');
  await build({
    entryPoints: [inRepository('dist', 'src', 'main.js')],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: OTHER_COMMANDS,
    alias: { bindings: inRepository('scripts', 'lib', 'bundled-binding.cjs') },
    // Every module that looks for files beside itself is one directory below dist/src, as the bundle is.
    define: { 'import.meta.url': '__bundleUrl' },
    banner: { js: 'const __bundleUrl = require("node:url").pathToFileURL(__filename).href;' },
    logLevel: 'error',
  });
}

/**
 * Runs a command once, so that V8 has compiled what a run needs, and keeps that. It is observed where that works: what
 * is compiled later is compiled on the processors that the command runs on.
 *
 * @param {AbortSignal} signal
 */
async function storeCompiledCode(signal) {
  const data = mkdtempSync(join(tmpdir(), 'glasshouse-bundle-'));
  try {
    const program = inRepository('scripts', 'lib', 'code-cache.cjs');
    const options = ['--no-receipt', '--profile', 'host', '--data-dir', data];
    const args = [
      program,
      bundle,
      'run',
      ...options,
      '--',
      'sh',
      '-c',
      'true; : < /dev/null; /no/such/program || :',
    ];
    const log = inRepository('build', 'logs', 'bundle.log');
    await runLogged(process.execPath, args, { log, signal, env: withoutSettings(toolEnvironment) });
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
}

/**
 * Settings of the environment are for what the user runs. Among them are some that set-up or the lab has and the
 * program does not know.
 *
 * @param {NodeJS.ProcessEnv} environment
 * @returns {NodeJS.ProcessEnv}
 */
export function withoutSettings(environment) {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('GLASSHOUSE_')));
}
