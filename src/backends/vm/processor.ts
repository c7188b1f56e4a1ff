import { readFile } from 'node:fs/promises';

/** Model, features and microcode of the first processor, from /proc/cpuinfo (proc(5)). */
export async function processorIdentity(): Promise<string> {
  const first = (await readFile('/proc/cpuinfo', 'utf8')).split('\n\n')[0] ?? '';
  return first
    .split('\n')
    .filter((line) => /^(vendor_id|cpu family|model|stepping|microcode|flags)\b/.test(line))
    .join('\n');
}
