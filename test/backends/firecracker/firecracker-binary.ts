import { join } from 'node:path';

import {
  type FirecrackerOptions,
  FirecrackerMonitor,
} from '../../../src/backends/firecracker/firecracker-monitor.js';
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
    binary: FIRECRACKER ?? 'firecracker',
    jailer: null,
    keeper: hostHelper('keep-machine'),
    cellDirectory: join(scratch.make('data'), 'cells'),
    kvmDevice: '/dev/kvm',
    ...changes,
  });
}
