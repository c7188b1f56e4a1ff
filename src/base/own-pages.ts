import { open, readFile } from 'node:fs/promises';

import { GlasshouseError } from './errors.js';

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
/** Of the highest byte of an entry: the page is present, and it is of a file or shared (bits 63 and 61). */
const PRESENT_OR_SHARED = 0xa0;
const PRESENT_ALONE = 0x80;

interface Mapping {
  readonly start: number;
  readonly end: number;
}

/**
 * Addresses of the pages in the largest private mapping of a process that are its own by now, because it has written to
 * them (Documentation/admin-guide/mm/pagemap.rst). Throws `vmm_failed` where that cannot be read.
 */
export async function ownPages(pid: number): Promise<ReadonlySet<number>> {
  try {
    const { start, end } = largestPrivateMapping(await readFile(`/proc/${pid}/maps`, 'latin1'));
    await using pagemap = await open(`/proc/${pid}/pagemap`, 'r');
    const entries = Buffer.alloc(((end - start) / PAGE_BYTES) * ENTRY_BYTES);
    const { bytesRead } = await pagemap.read(entries, 0, entries.length, (start / PAGE_BYTES) * ENTRY_BYTES);
    const pages = new Set<number>();
    for (let at = 0; at < bytesRead; at += ENTRY_BYTES) {
      const isOwn = ((entries[at + ENTRY_BYTES - 1] ?? 0) & PRESENT_OR_SHARED) === PRESENT_ALONE;
      if (isOwn) pages.add(start + (at / ENTRY_BYTES) * PAGE_BYTES);
    }
    return pages;
  } catch (error) {
    throw new GlasshouseError('vmm_failed', 'It cannot be seen which memory a monitor has written to.', {
      cause: error,
    });
  }
}

/** @param maps proc_pid_maps(5) */
function largestPrivateMapping(maps: string): Mapping {
  let largest: Mapping = { start: 0, end: 0 };
  for (const [, start = '', end = ''] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw.p /gm)) {
    const mapping = { start: Number.parseInt(start, 16), end: Number.parseInt(end, 16) };
    if (mapping.end - mapping.start > largest.end - largest.start) largest = mapping;
  }
  return largest;
}
