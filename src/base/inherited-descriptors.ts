import { readdirSync, readFileSync } from 'node:fs';

import { systemErrorCode } from './errors.js';

/** open(2), as fdinfo shows it. */
const O_CLOEXEC = 0o2000000;

/**
 * The highest descriptor of this process without close-on-exec (proc_pid_fdinfo(5): `flags` is octal), at least 2.
 * Whoever started us may have left anything open, and Node.js passes it on to every child.
 */
export function highestInheritableDescriptor(): number {
  let highest = 2;
  for (const name of readdirSync('/proc/self/fdinfo')) {
    try {
      const information = readFileSync(`/proc/self/fdinfo/${name}`, 'latin1');
      const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(information)?.[1] ?? '0', 8);
      if ((flags & O_CLOEXEC) === 0) highest = Math.max(highest, Number(name));
    } catch (error) {
      // The descriptor of the directory that we are reading is closed by now.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
  return highest;
}
