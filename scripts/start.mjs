// @ts-check
// Sets up the clone and starts the server: npm start [-- options of "glasshouse serve"]
import { pathToFileURL } from 'node:url';
import { inRepository } from './lib/paths.mjs';
import { runScript, setUp } from './lib/set-up.mjs';

await runScript(async (signal) => {
  await setUp(signal);
  return 0;
});

if (process.exitCode === 0) {
  // In this very process, so that signals reach the server and nobody else.
  const main = inRepository('dist', 'src', 'main.js');
  process.exitCode = undefined;
  process.argv.splice(1, 1, main, 'serve');
  await import(pathToFileURL(main).href);
}
