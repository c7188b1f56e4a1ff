import { setTimeout as delay } from 'node:timers/promises';

import { type ExecutionSpec } from '../../../src/backends/backend.js';
import { type VmBackend } from '../../../src/backends/vm/vm-backend.js';
import { type Ran, runOn } from '../../contract/subject.js';

/** Runs a Python program with nothing in its environment but what every guest gives. */
export function runPython(
  backend: VmBackend,
  code: string,
  changes: Partial<ExecutionSpec> = {},
): Promise<Ran> {
  const program = { kind: 'python', code, args: [] } as const;
  return runOn(backend, ['true'], { program, environment: {}, ...changes });
}

/** Clones that wait. */
export function poolReady(backend: VmBackend): number {
  return backend.gauges().find(({ name }) => name === 'pool_ready')?.value ?? 0;
}

/** Resolves when that many clones wait; the pool tells nobody when it has made one. */
export async function untilPoolHas(backend: VmBackend, count: number): Promise<void> {
  while (poolReady(backend) < count) await delay(10);
}
