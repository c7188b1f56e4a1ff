import { readFileSync } from 'node:fs';

/** What the kernel could give out now without swapping, in MiB: MemAvailable of /proc/meminfo (proc(5)). */
export function availableMemoryMb(): number {
  const match = /^MemAvailable:\s*(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'latin1'));
  return match === null ? Number.POSITIVE_INFINITY : Number(match[1]) / 1024;
}
