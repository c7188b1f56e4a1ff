import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import path from 'node:path';

import { systemErrorCode } from './errors.js';

/** The file of a program of ours: a path, or a name that is looked up in PATH. Null when there is none to execute. */
export function findProgram(nameOrPath: string): string | null {
  const candidates = nameOrPath.includes('/')
    ? [nameOrPath]
    : (process.env['PATH'] ?? '')
        .split(':')
        .filter((directory) => directory !== '')
        .map((directory) => path.join(directory, nameOrPath));
  for (const candidate of candidates) {
    if (isExecutable(candidate)) return realpathSync(candidate);
  }
  return null;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP'].includes(systemErrorCode(error) ?? '')) return false;
    throw error;
  }
}
