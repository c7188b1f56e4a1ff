import { fileURLToPath } from 'node:url';

/** Options of Node.js with which a program collects garbage at every SIGUSR2 (collect-garbage.ts). */
export const COLLECTS_GARBAGE: readonly string[] = [
  '--expose-gc',
  '--import',
  fileURLToPath(new URL('collect-garbage.js', import.meta.url)),
];
