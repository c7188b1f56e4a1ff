/**
 * `npm run bench [-- NAME...] [-- --runs N --boots N --receipts N --requests N --seconds N --soak N --stored N
 * --data-dir D --backends B,B]`: measures on this machine and prints ratios. Names: cold, cli, receipts, warm, boots, burst, observe,
 * soak, lab (Firecracker beside QEMU, where both can run a guest; --only cold,restored,pooled), reading (lists of a million receipts; D: a directory that is filled once and kept); the first four when none is given.
 * `npm run bench:observe [-- --only PART,PART --in-a-row N]`: docs/observation.md, "What it costs".
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { benchBoots } from './boots.js';
import { benchBurst } from './burst.js';
import { benchCli } from './cli.js';
import { benchLab } from './lab.js';
import { benchReading } from './reading.js';
import { benchCold } from './cold.js';
import { benchWarm } from './warm.js';
import { benchObserve } from './observe/observe.js';
import { benchSoak } from './soak.js';
import { benchReceipts } from './receipts.js';

/** What users start. */
const MAIN = fileURLToPath(new URL('../../bin/glasshouse', import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '10' },
    boots: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '120' },
    requests: { type: 'string', default: '50' },
    soak: { type: 'string', default: '1000' },
    receipts: { type: 'string', default: '500' },
    stored: { type: 'string', default: '1000000' },
    backends: { type: 'string', default: 'firecracker,qemu' },
    only: { type: 'string', default: '' },
    'in-a-row': { type: 'string', default: '1000' },
    'data-dir': { type: 'string' },
  },
});

const ONLY = values.only.split(',').filter((name) => name !== '');
/** Each of them takes a minute. */
const MOST_ROUNDS = 10;

const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
  cold: () => benchCold(MAIN, Number(values.runs)),
  cli: () => benchCli(MAIN, Number(values.runs)),
  warm: () => benchWarm(MAIN, Number(values.seconds)),
  receipts: () => benchReceipts(Number(values.receipts)),
  boots: () => benchBoots(MAIN, Number(values.boots)),
  reading: () => benchReading(MAIN, Number(values.stored), values['data-dir'] ?? null),
  burst: () => benchBurst(MAIN, Number(values.requests)),
  observe: () =>
    benchObserve({
      main: MAIN,
      rounds: Math.min(MOST_ROUNDS, Number(values.runs)),
      runsInARow: Number(values['in-a-row']),
      only: ONLY,
    }),
  lab: () => benchLab(MAIN, Number(values.runs), values.backends.split(','), ONLY),
  soak: () => benchSoak(MAIN, Number(values.soak)),
};

for (const name of positionals.length > 0 ? positionals : ['cold', 'cli', 'receipts', 'warm']) {
  const bench = BENCHES[name];
  if (bench === undefined)
    throw new Error(`there is no benchmark ${name}; there are: ${Object.keys(BENCHES).join(', ')}`);
  await bench();
}
