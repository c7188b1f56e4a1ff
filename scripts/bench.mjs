// @ts-check
// Sets up the clone and measures: npm run bench [-- options]
import { inRepository } from './lib/paths.mjs';
import { runAttached } from './lib/processes.mjs';
import { runScript, setUp } from './lib/set-up.mjs';

await runScript(async (signal) => {
  await setUp(signal);
  return runAttached(process.execPath, [inRepository('dist', 'bench', 'main.js'), ...process.argv.slice(2)], {
    signal,
  });
});
