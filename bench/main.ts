/**
 * `npm run bench [-- NAME...] [-- --runs N --boots N --requests N --soak N --receipts N]`: measures on this machine and prints
 * ratios. Names: cold, cli, receipts, boots, burst, soak; cold, cli and receipts when none is given.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { benchBoots } from './boots.js';
import { benchBurst } from './burst.js';
import { benchCli } from './cli.js';
import { benchCold } from './cold.js';
import { benchReceipts } from './receipts.js';
import { benchSoak } from './soak.js';

/** What users start. */
const MAIN = fileURLToPath(new URL('../../bin/glasshouse', import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '10' },
    boots: { type: 'string', default: '200' },
    receipts: { type: 'string', default: '500' },
    requests: { type: 'string', default: '50' },
    soak: { type: 'string', default: '1000' },
  },
});

const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
  cold: () => benchCold(MAIN, Number(values.runs)),
  cli: () => benchCli(MAIN, Number(values.runs)),
  receipts: () => benchReceipts(Number(values.receipts)),
  boots: () => benchBoots(MAIN, Number(values.boots)),
  burst: () => benchBurst(MAIN, Number(values.requests)),
  soak: () => benchSoak(MAIN, Number(values.soak)),
};

for (const name of positionals.length > 0 ? positionals : ['cold', 'cli', 'receipts']) {
  const bench = BENCHES[name];
  if (bench === undefined)
    throw new Error(`there is no benchmark ${name}; there are: ${Object.keys(BENCHES).join(', ')}`);
  await bench();
}
