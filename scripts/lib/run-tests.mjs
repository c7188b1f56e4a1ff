// @ts-check
import { runAttached } from './processes.mjs';
import { say } from './progress.mjs';
import { SetupError } from './setup-error.mjs';
import { compiledTest, findTestFiles, selectTestFiles } from './test-files.mjs';

/** Test files at a time. A virtual machine takes a processor and is measured against deadlines. */
const UNIT_CONCURRENCY = 2;
const VM_CONCURRENCY = 1;

/**
 * Runs the selected tests with a Node.js and resolves to the exit code: 0 when all of them passed.
 *
 * @param {string} executable
 * @param {readonly string[]} args as selectTestFiles() takes them
 * @param {AbortSignal} signal
 */
export async function runTests(executable, args, signal) {
  const { unit, vm } = select(args);
  const unitCode = await runFiles(executable, unit, UNIT_CONCURRENCY, signal);
  signal.throwIfAborted();
  const vmCode = await runFiles(executable, vm, VM_CONCURRENCY, signal);
  if (unit.length > 0 && vm.length > 0) {
    const outcome = (/** @type {number} */ code) => (code === 0 ? 'passed' : 'FAILED');
    say(`unit tests ${outcome(unitCode)}, tests with virtual machines ${outcome(vmCode)}`);
  }
  return unitCode === 0 ? vmCode : unitCode;
}

/** @param {readonly string[]} args */
function select(args) {
  try {
    const selected = selectTestFiles(findTestFiles(), args);
    if (selected.unit.length + selected.vm.length > 0) return selected;
  } catch (error) {
    throw new SetupError(String(error), 'Usage: npm test -- [--unit] [PART_OF_A_PATH ...]', error);
  }
  throw new SetupError(`There is no such test: ${args.join(' ')}`);
}

/**
 * @param {string} executable
 * @param {readonly string[]} files
 * @param {number} concurrency
 * @param {AbortSignal} signal
 */
async function runFiles(executable, files, concurrency, signal) {
  if (files.length === 0) return 0;
  const flags = ['--test', `--test-concurrency=${concurrency}`, '--test-reporter=spec'];
  return runAttached(executable, [...flags, ...files.map(compiledTest)], { signal, input: 'ignore' });
}
