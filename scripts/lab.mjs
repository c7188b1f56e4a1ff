// @ts-check
// Sets up the clone and runs the tests of Firecracker in a guest with a working /dev/kvm, see CONTRIBUTING.md:
// npm run test:lab [-- [--time-limit MINUTES] [--other-version DIRECTORY] [--shell COMMAND | PART_OF_A_PATH ...]]
import { parseArgs } from 'node:util';
import { inRepository } from './lib/paths.mjs';
import { runAttached } from './lib/processes.mjs';
import { runScript, setUp } from './lib/set-up.mjs';
import { SetupError } from './lib/setup-error.mjs';
import { compiledTest, findLabTestFiles, withOneOf } from './lib/test-files.mjs';

const OPTIONS = '[--time-limit MINUTES] [--other-version DIRECTORY]';
/** @type {readonly ('time-limit' | 'other-version')[]} */
const PASSED_ON = ['time-limit', 'other-version'];

await runScript(async (signal) => {
  const { values, positionals } = parse();
  const passedOn = PASSED_ON.flatMap((name) => {
    const value = values[name];
    return value === undefined ? [] : [`--${name}`, value];
  });
  if (values.shell === undefined) passedOn.push(...chooseTests(positionals));
  else passedOn.push('--shell', values.shell);
  await setUp(signal);
  const main = inRepository('dist', 'test', 'lab', 'main.js');
  return runAttached(process.execPath, [main, ...passedOn], { signal, input: 'ignore' });
});

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        'time-limit': { type: 'string' },
        'other-version': { type: 'string' },
        shell: { type: 'string' },
      },
    });
  } catch (error) {
    const usage = `npm run test:lab -- ${OPTIONS} [--shell COMMAND | PART_OF_A_PATH ...]`;
    throw new SetupError(String(error), `Usage: ${usage}`, error);
  }
}

/** @param {readonly string[]} parts */
function chooseTests(parts) {
  const files = withOneOf(findLabTestFiles(), parts);
  if (files.length === 0) throw new SetupError(`The lab has no such test: ${parts.join(' ')}`);
  return files.map(compiledTest);
}
