import { type OutputPlan, type StderrPlan } from '../backends/backend.js';
import { type InheritedHash } from '../engine/request.js';
import { inspectStandardStream, isSameStream, type StandardStream, WrittenFile } from './standard-streams.js';

/** How a command's output reaches the user's own stdout and stderr. */
export interface RunStreams extends Disposable {
  readonly stdout: OutputPlan;
  readonly stderr: StderrPlan;
  /** Hash what went straight to a file of the user's; null for other streams. */
  readonly inheritedStdout: InheritedHash | null;
  readonly inheritedStderr: InheritedHash | null;
  readonly streamsCombined: boolean;
}

/**
 * A terminal and a regular file stay the user's own: the command writes to them itself. Everything else gets a pipe
 * in between, so that it can be hashed on its way.
 */
export function planStreams(): RunStreams {
  const stdout = inspectStandardStream(1);
  const stderr = inspectStandardStream(2);
  const combined = isSameStream(stdout, stderr);
  const files = [stdout, stderr].map((stream) =>
    stream.kind === 'file' ? new WrittenFile(stream.descriptor) : null,
  );
  const [stdoutFile = null, stderrFile = null] = files;
  return {
    stdout: planOf(stdout),
    stderr: combined && planOf(stdout) === 'capture' ? 'with_stdout' : planOf(stderr),
    inheritedStdout: hashOf(stdoutFile),
    inheritedStderr: hashOf(stderrFile),
    streamsCombined: combined,
    [Symbol.dispose]: () => {
      for (const file of files) file?.[Symbol.dispose]();
    },
  };
}

/** Into a guest nothing can be inherited. */
export function captureStreams(): RunStreams {
  return {
    stdout: 'capture',
    stderr: 'capture',
    inheritedStdout: null,
    inheritedStderr: null,
    streamsCombined: false,
    [Symbol.dispose]: () => undefined,
  };
}

function planOf(stream: StandardStream): OutputPlan {
  return stream.kind === 'terminal' || stream.kind === 'file' || stream.kind === 'closed'
    ? 'inherit'
    : 'capture';
}

function hashOf(file: WrittenFile | null): InheritedHash | null {
  return file === null ? null : async () => nullIfUnknown(await file.hash());
}

function nullIfUnknown(
  hash: Awaited<ReturnType<WrittenFile['hash']>>,
): { readonly sha256: string; readonly bytes: number } | null {
  return hash.sha256 === null ? null : { sha256: hash.sha256, bytes: hash.bytes };
}
