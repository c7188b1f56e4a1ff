import { open, readFile } from 'node:fs/promises';

import { GlasshouseError, systemErrorCode } from './errors.js';

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
/** Of the highest byte of an entry: the page is present, of a file or shared memory, mapped by nobody else (63, 61, 56). */
const LOOKED_AT = 0xa1;
const PRESENT_ALONE = 0x81;

interface Mapping {
  readonly start: number;
  readonly end: number;
}

/**
 * Addresses of the pages in the largest private mapping of a process that are its own by now, because it has written to
 * them (Documentation/admin-guide/mm/pagemap.rst). Null where the kernel lets us not look: at another user's process, or
 * at one that lets nobody look (PR_SET_DUMPABLE), without CAP_SYS_PTRACE. Throws `vmm_failed`.
 */
export async function ownPages(pid: number): Promise<ReadonlySet<number> | null> {
  try {
    const { start, end } = largestPrivateMapping(await readFile(`/proc/${pid}/maps`, 'latin1'));
    await using pagemap = await open(`/proc/${pid}/pagemap`, 'r');
    const entries = Buffer.alloc(((end - start) / PAGE_BYTES) * ENTRY_BYTES);
    const { bytesRead } = await pagemap.read(entries, 0, entries.length, (start / PAGE_BYTES) * ENTRY_BYTES);
    const pages = new Set<number>();
    for (let at = 0; at < bytesRead; at += ENTRY_BYTES) {
      const isOwn = ((entries[at + ENTRY_BYTES - 1] ?? 0) & LOOKED_AT) === PRESENT_ALONE;
      if (isOwn) pages.add(start + (at / ENTRY_BYTES) * PAGE_BYTES);
    }
    return pages;
  } catch (error) {
    if (['EACCES', 'EPERM'].includes(systemErrorCode(error) ?? '')) return null;
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
