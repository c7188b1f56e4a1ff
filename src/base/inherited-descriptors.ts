import { closeSync, readdirSync, readFileSync } from 'node:fs';

import { systemErrorCode } from './errors.js';

/** open(2), as fdinfo shows it. */
const O_CLOEXEC = 0o2000000;

/**
 * Descriptors above stderr without close-on-exec (proc_pid_fdinfo(5): `flags` is octal). Node.js marks every one of
 * its own, and at its start those below the first gap above 15; the others are what whoever started us left open,
 * and every child gets them too.
 */
export function inheritedDescriptors(): number[] {
  return readdirSync('/proc/self/fdinfo')
    .map(Number)
    .filter((descriptor) => descriptor > 2 && isInheritable(descriptor));
}

/**
 * Closes them, but for the channel to a parent that is a Node.js process. For a process that is only ours to
 * arrange, at its start; what it starts later then gets nothing that was not meant for it.
 */
export function closeInheritedDescriptors(): void {
  const channel = Number(process.env['NODE_CHANNEL_FD'] ?? Number.NaN);
  for (const descriptor of inheritedDescriptors()) if (descriptor !== channel) closeSync(descriptor);
}

function isInheritable(descriptor: number): boolean {
  try {
    const information = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1');
    const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(information)?.[1] ?? '0', 8);
    return (flags & O_CLOEXEC) === 0;
  } catch (error) {
    // The descriptor of the directory that was listed is closed by now.
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
