import { access, constants, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

import { systemErrorCode } from '../../src/base/errors.js';

export interface FirecrackerBinaries {
  readonly firecracker: string;
  readonly jailer: string;
}

/** A sentence: why there is nothing to test with (`none`), or what is wrong with what was asked for. */
interface NotFound {
  readonly kind: 'none' | 'wrong';
  readonly reason: string;
}

export type FoundBinaries = { readonly kind: 'found'; readonly binaries: FirecrackerBinaries } | NotFound;

type FoundProgram = { readonly kind: 'found'; readonly path: string } | NotFound;

/**
 * Finds the Firecracker and the jailer to test: those that the environment names, else those on PATH. One that was
 * named and cannot be run is wrong, so that a typing error does not look like a machine without Firecracker.
 */
export async function findBinaries(environment: NodeJS.ProcessEnv): Promise<FoundBinaries> {
  const searchPath = environment['PATH'] ?? '';
  const firecracker = await findProgram('firecracker', 'GLASSHOUSE_FIRECRACKER_BIN', environment, searchPath);
  const jailer = await findProgram('jailer', 'GLASSHOUSE_JAILER_BIN', environment, searchPath);
  if (firecracker.kind !== 'found') return jailer.kind === 'wrong' ? jailer : firecracker;
  if (jailer.kind !== 'found') return jailer;
  return { kind: 'found', binaries: { firecracker: firecracker.path, jailer: jailer.path } };
}

async function findProgram(
  name: string,
  variable: string,
  environment: NodeJS.ProcessEnv,
  searchPath: string,
): Promise<FoundProgram> {
  const named = environment[variable];
  if (named !== undefined && named !== '') {
    if (await isProgram(named)) return { kind: 'found', path: named };
    return { kind: 'wrong', reason: `${variable} names ${named}, which is no program that can be run.` };
  }
  for (const directory of searchPath.split(delimiter).filter((each) => each !== '')) {
    if (await isProgram(join(directory, name))) return { kind: 'found', path: join(directory, name) };
  }
  return { kind: 'none', reason: `There is no ${name}: ${variable} is not set, and PATH has none.` };
}

export async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemErrorCode(error) ?? '')) return false;
    throw error;
  }
}
