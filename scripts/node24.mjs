// @ts-check
// Runs the tests that start no virtual machine on the newest Node.js that is pinned in test/node24.
import { execFileSync } from 'node:child_process';
import { ensureNpmPackages } from './lib/npm-packages.mjs';
import { inRepository } from './lib/paths.mjs';
import { runTests } from './lib/run-tests.mjs';
import { runScript, setUp } from './lib/set-up.mjs';
import { ensureSqliteBinding } from './lib/sqlite-binding.mjs';

await runScript(async (signal) => {
  await setUp(signal);
  const directory = inRepository('test', 'node24');
  await ensureNpmPackages(directory, 'Node.js 24 for the tests', signal);
  const runtime = inspect(inRepository('test/node24/node_modules', `node-linux-${process.arch}`, 'bin/node'));
  await ensureSqliteBinding(runtime, signal);
  return runTests(runtime.executable, ['--unit', ...process.argv.slice(2)], signal);
});

/**
 * @param {string} executable
 * @returns {import('./lib/node-runtime.mjs').NodeRuntime}
 */
function inspect(executable) {
  const print = 'console.log(JSON.stringify([process.versions.node, process.versions.modules]))';
  const [version, abi] = JSON.parse(execFileSync(executable, ['--eval', print], { encoding: 'utf8' }));
  return { executable, version, abi };
}
