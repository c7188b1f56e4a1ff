// @ts-check
// Sets up the clone and runs its tests: npm test [-- [--unit] [PART_OF_A_PATH ...]]
import { ensureTestTools } from './lib/debian-packages.mjs';
import { inRepository } from './lib/paths.mjs';
import { runAttached } from './lib/processes.mjs';
import { runTests } from './lib/run-tests.mjs';
import { runScript, setUp } from './lib/set-up.mjs';

await runScript(async (signal) => {
  const args = process.argv.slice(2);
  await setUp(signal);
  await ensureTestTools(signal);
  const selectsByName = args.some((arg) => !arg.startsWith('-'));
  const codes = [];
  if (!selectsByName) {
    codes.push(await testProgramsInC('guest', 'guest', 'test', signal));
    // Only root may load what the observer loads.
    const target = process.getuid?.() === 0 ? 'test' : 'unit-test';
    codes.push(await testProgramsInC('bpf', 'observer', target, signal));
  }
  codes.push(await runTests(process.execPath, args, signal));
  return codes.find((code) => code !== 0) ?? 0;
});

/**
 * @param {string} source directory with a Makefile
 * @param {string} build directory below build/
 * @param {string} target
 * @param {AbortSignal} signal
 */
function testProgramsInC(source, build, target, signal) {
  const args = ['-C', inRepository(source), `BUILD=${inRepository('build', build)}`, target];
  return runAttached('make', args, { signal, input: 'ignore' });
}
