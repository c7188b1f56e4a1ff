import { readFileSync } from 'node:fs';

import { asGlasshouseError } from './errors.js';

/**
 * What the kernel could give out now without swapping, in MiB: MemAvailable of /proc/meminfo (proc(5)). Nothing where no
 * descriptor is left to look with: what memory is wanted for could not be started then, and the clones that are given back
 * for it have descriptors. Timers ask, too, so it must not throw then.
 */
export function availableMemoryMb(): number {
  const match = /^MemAvailable:\s*(\d+) kB$/m.exec(readMemoryInformation());
  return match === null ? Number.POSITIVE_INFINITY : Number(match[1]) / 1024;
}

function readMemoryInformation(): string {
  try {
    return readFileSync('/proc/meminfo', 'latin1');
  } catch (error) {
    if (asGlasshouseError(error).code === 'backend_unavailable') return 'MemAvailable: 0 kB';
    throw error;
  }
}
