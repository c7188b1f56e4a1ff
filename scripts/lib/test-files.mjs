// @ts-check
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { inRepository } from './paths.mjs';

/** Below test/: what starts virtual machines or watches whole process trees, one at a time. */
const VM_TESTS = ['contract/', 'e2e/', 'hostile/', 'backends/qemu/', 'observe/'];

/** @typedef {{ unit: readonly string[], vm: readonly string[] }} TestFiles */

/** Tests with this ending run in the lab alone: they need a /dev/kvm that works and a Firecracker. */
const LAB_ONLY = '.lab.test.ts';
/** Tests that also run elsewhere, as far as they can, and in the lab from end to end. */
const ALSO_IN_LAB = /(?:^|\/)firecracker/;

/** Every test of `npm test`. */
export function findTestFiles() {
  return findAllTestFiles().filter((name) => !name.endsWith(LAB_ONLY));
}

/** Every test of the lab. */
export function findLabTestFiles() {
  return findAllTestFiles().filter((name) => name.endsWith(LAB_ONLY) || ALSO_IN_LAB.test(name));
}

/** By its source: what tsc once made of a test that is gone does not count. */
function findAllTestFiles() {
  const names = readdirSync(inRepository('test'), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.test.ts') && !name.startsWith('node24/')).sort();
}

/**
 * @param {readonly string[]} files
 * @param {readonly string[]} parts of paths of which one must occur; none for all files
 */
export function withOneOf(files, parts) {
  return files.filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)));
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
  const selected = withOneOf(files, filters);
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
