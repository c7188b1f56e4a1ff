import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

import {
  type FirecrackerOptions,
  FirecrackerMonitor,
} from '../../../src/backends/firecracker/firecracker-monitor.js';
import { asGlasshouseError } from '../../../src/base/errors.js';
import { findProgram } from '../../../src/base/find-program.js';
import { hostHelper } from '../../../src/base/host-helper.js';
import { type ScratchDirectory } from '../../contract/subject.js';

/** The real programs, where a machine has them; nothing here brings them. */
export const FIRECRACKER = findProgram(process.env['GLASSHOUSE_FIRECRACKER_BIN'] ?? 'firecracker');
export const JAILER = findProgram(process.env['GLASSHOUSE_JAILER_BIN'] ?? 'jailer');

export const skipWithoutFirecracker: string | false =
  FIRECRACKER === null ? 'no firecracker in PATH, and GLASSHOUSE_FIRECRACKER_BIN names none' : false;

/** A monitor over the real Firecracker, without a jail, with its files in `scratch`; or over what `changes` say. */
export function makeMonitor(
  scratch: ScratchDirectory,
  changes: Partial<FirecrackerOptions> = {},
): FirecrackerMonitor {
  return new FirecrackerMonitor({
    ...optionsIn(join(scratch.make('data'), 'cells')),
    ...changes,
  });
}

/** Over the real Firecracker, without a jail, with its cells in that directory. */
export function optionsIn(cellDirectory: string): FirecrackerOptions {
  return {
    binary: FIRECRACKER ?? 'firecracker',
    jailer: null,
    keeper: hostHelper('keep-machine'),
    cellDirectory,
    kvmDevice: '/dev/kvm',
  };
}

/** The same with its cells in a directory that others share. */
export function makeMonitorIn(
  cellDirectory: string,
  options: { readonly jailed: boolean },
): FirecrackerMonitor {
  const jailer = options.jailed ? (JAILER ?? 'jailer') : null;
  return new FirecrackerMonitor({ ...optionsIn(cellDirectory), jailer });
}

/** Why no real Firecracker can be started here, whether or not it can run a guest; null when one can. */
export function reasonNotToStart(jailed: boolean): string | null {
  if (FIRECRACKER === null) return 'no firecracker at hand';
  if (jailed && JAILER === null) return 'no jailer at hand';
  if (jailed && process.getuid?.() !== 0) return 'not root';
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return null;
  } catch (error) {
    return asGlasshouseError(error).message;
  }
}
