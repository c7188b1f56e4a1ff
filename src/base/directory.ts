import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

import { systemErrorCode } from './errors.js';

/**
 * Makes a directory and those above it that are missing, with permission bits `mode`; one that exists stays as it is.
 * Unlike mkdirSync's own recursion, it ends where the kernel denies that a directory exists in which it will not
 * make one, as below /proc.
 */
export function makeDirectory(directory: string, mode: number): void {
  try {
    mkdirSync(directory, { mode });
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EEXIST' && statSync(directory).isDirectory()) return;
    const parent = dirname(directory);
    if (
      code !== 'ENOENT' ||
      parent === directory ||
      statSync(parent, { throwIfNoEntry: false }) !== undefined
    )
      throw error;
    makeDirectory(parent, mode);
    makeDirectory(directory, mode);
  }
}
