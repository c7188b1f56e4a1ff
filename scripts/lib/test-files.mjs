// @ts-check
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { inRepository } from './paths.mjs';

/** Below test/: what starts virtual machines or watches whole process trees, one at a time. */
const VM_TESTS = ['contract/', 'e2e/', 'hostile/', 'backends/qemu/', 'observe/'];

/** @typedef {{ unit: readonly string[], vm: readonly string[] }} TestFiles */

/** Every test of the repository, by its source: what tsc once made of a test that is gone does not count. */
export function findTestFiles() {
  const names = readdirSync(inRepository('test'), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.test.ts') && !name.startsWith('node24/')).sort();
}

/**
 * The tests to run, split by whether they start virtual machines.
 *
 * @param {readonly string[]} files relative to test/
 * @param {readonly string[]} args `--unit`, and parts of paths of which one must occur
 * @returns {TestFiles}
 */
export function selectTestFiles(files, args) {
  const unknown = args.find((arg) => arg.startsWith('-') && arg !== '--unit');
  if (unknown !== undefined) throw new Error(`unknown option ${unknown}`);
  const filters = args.filter((arg) => arg !== '--unit');
  const selected = files.filter(
    (file) => filters.length === 0 || filters.some((part) => file.includes(part)),
  );
  const isVm = (/** @type {string} */ file) => VM_TESTS.some((directory) => file.startsWith(directory));
  return {
    unit: selected.filter((file) => !isVm(file)),
    vm: args.includes('--unit') ? [] : selected.filter(isVm),
  };
}

/**
 * The compiled file of a test.
 * @param {string} file relative to test/
 */
export function compiledTest(file) {
  return join('dist', 'test', file.replace(/\.ts$/, '.js'));
}
