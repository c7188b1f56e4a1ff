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
  const guestCode = selectsByName ? 0 : await testGuestInit(signal);
  const code = await runTests(process.execPath, args, signal);
  return code === 0 ? guestCode : code;
});

/** @param {AbortSignal} signal */
async function testGuestInit(signal) {
  const build = inRepository('build', 'guest');
  return runAttached('make', ['-C', inRepository('guest'), `BUILD=${build}`, 'test'], {
    signal,
    input: 'ignore',
  });
}
