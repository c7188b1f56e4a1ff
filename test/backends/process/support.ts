import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  type ExecutionHandle,
  type ExecutionResult,
  type ExecutionSpec,
} from '../../../src/backends/backend.js';
import { MARKER_VARIABLE } from '../../../src/backends/process/process-tree.js';
import { ProcessBackend } from '../../../src/backends/process/process-backend.js';
import { hasEnded, hasEnvironmentEntry, listPids, readProcess } from '../../../src/base/process-table.js';
import { CollectingSink } from '../../collecting-sink.js';

export { CollectingSink };

export const backend = new ProcessBackend();
export const never: AbortSignal = new AbortController().signal;

export interface Ran {
  readonly handle: ExecutionHandle;
  readonly result: ExecutionResult;
  readonly stdout: string;
  readonly stderr: string;
}

export function specFor(
  argv: readonly [string, ...string[]],
  changes: Partial<ExecutionSpec> = {},
): ExecutionSpec {
  return {
    executionId: randomUUID(),
    program: { kind: 'command', argv },
    environment: { PATH: process.env['PATH'] ?? '' },
    inputFiles: [],
    stdin: 'closed',
    stdout: 'capture',
    stderr: 'capture',
    sink: new CollectingSink(),
    fresh: false,
    limits: { memoryMb: 256, cpus: 1, diskMb: 64, pids: 64, outputBytes: 1 << 20 },
    hold: null,
    ...changes,
  };
}

/** Starts, waits and cleans up. */
export async function run(
  argv: readonly [string, ...string[]],
  changes: Partial<ExecutionSpec> = {},
): Promise<Ran> {
  const sink = new CollectingSink();
  const handle = await backend.start(specFor(argv, { sink, ...changes }), never);
  try {
    const result = await backend.wait(handle);
    return { handle, result, stdout: sink.text('stdout'), stderr: sink.text('stderr') };
  } finally {
    await backend.cleanup(handle);
  }
}

export function shell(script: string, changes: Partial<ExecutionSpec> = {}): Promise<Ran> {
  return run(['/bin/sh', '-c', script], changes);
}

/** The pids that carry the marker of the execution and have not ended. */
export function processesOf(executionId: string): number[] {
  return listPids().filter((pid) => {
    const entry = readProcess(pid);
    return (
      entry !== null && !hasEnded(entry) && hasEnvironmentEntry(entry, `${MARKER_VARIABLE}=${executionId}`)
    );
  });
}

export function isAlive(pid: number): boolean {
  const entry = readProcess(pid);
  return entry !== null && !hasEnded(entry);
}

export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** A directory of the test's own, removed at the end of its scope. */
export class ScratchDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'glasshouse-test-'));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Never has anything to give. */
export class IdleSource implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array> {
  returned = false;

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    return new Promise(() => undefined);
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.returned = true;
    return Promise.resolve({ done: true, value: undefined });
  }
}

export async function* bytesOf(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield await Promise.resolve(Buffer.from(text));
}
