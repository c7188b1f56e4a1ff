// @ts-check
// Installs and builds everything that a clone needs: npm run setup
import { runScript, setUp } from './lib/set-up.mjs';

await runScript(async (signal) => {
  await setUp(signal);
  return 0;
});
