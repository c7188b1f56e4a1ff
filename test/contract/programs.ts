import { type ExecutionBackend, type ExecutionSpec } from '../../src/backends/backend.js';
import { type Ran, runOn } from './subject.js';

export function shell(
  backend: ExecutionBackend,
  script: string,
  changes: Partial<ExecutionSpec> = {},
): Promise<Ran> {
  return runOn(backend, ['sh', '-c', script], changes);
}

export async function* streamOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void> {
  for (const chunk of chunks) yield await Promise.resolve(chunk);
}

/** A source that never says anything, as a terminal at which nobody types. */
export async function* silentSource(): AsyncGenerator<Uint8Array, void> {
  yield await new Promise<Uint8Array>(() => undefined);
}

/** Promise.withResolvers() of ES2024, which Node.js 20 lacks. */
export function withResolvers<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
