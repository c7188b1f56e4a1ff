import { runToCompletion } from '../../base/child-process.js';
import { GlasshouseError } from '../../base/errors.js';

/** Release lines that this code was written for; both ends belong to it. */
const OLDEST_MINOR = 14;
const NEWEST_MINOR = 16;
export const SUPPORTED_VERSIONS = `1.${OLDEST_MINOR} to 1.${NEWEST_MINOR}`;
const VERSION_TIMEOUT_MS = 10_000;

/** The first that takes `vsock_override` when it loads a snapshot (docs/vsock.md). */
const FIRST_WITH_VSOCK_OVERRIDE = 16;

export interface ProgramVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** For example `1.16.1`, with what a build of its own adds to it. */
  readonly text: string;
}

/** What `NAME --version` says in its first line; null when that is no version. */
export function parseVersion(name: 'Firecracker' | 'Jailer', output: string): ProgramVersion | null {
  const line = output.split('\n', 1)[0] ?? '';
  const match =
    /^(Firecracker|Jailer) v((\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:[-+.][0-9A-Za-z.+-]{1,60})?)$/.exec(
      line.trim(),
    );
  if (match?.[1] !== name) return null;
  return {
    major: Number(match[3]),
    minor: Number(match[4]),
    patch: Number(match[5]),
    text: match[2] ?? '',
  };
}

/** Throws `backend_unavailable`, with what to do. */
export function assertSupported(version: ProgramVersion): void {
  const { major, minor, text } = version;
  if (major === 1 && minor >= OLDEST_MINOR && minor <= NEWEST_MINOR) return;
  throw new GlasshouseError(
    'backend_unavailable',
    `Firecracker ${text} is not supported: ${SUPPORTED_VERSIONS} are. Run "glasshouse setup firecracker", or name another one with --firecracker-bin.`,
  );
}

/** Whether a clone may be told where its vsock is, of a supported version. */
export function overridesVsock({ minor }: ProgramVersion): boolean {
  return minor >= FIRST_WITH_VSOCK_OVERRIDE;
}

/**
 * A jailer before 1.13.2, and 1.14.0, follows a symbolic link in a jail that is not new, and so may give away a file of
 * the host. Throws `backend_unavailable`.
 */
export function assertSafeJailer(jailer: ProgramVersion, firecracker: ProgramVersion): void {
  const { major, minor, patch, text } = jailer;
  const isOld = major < 1 || (major === 1 && (minor < 13 || (minor === 13 && patch < 2)));
  if (isOld || (major === 1 && minor === 14 && patch === 0)) {
    throw new GlasshouseError(
      'backend_unavailable',
      `The jailer ${text} follows symbolic links out of a jail; 1.14.1 is the first of its line that does not. Run "glasshouse setup firecracker".`,
    );
  }
  if (text === firecracker.text) return;
  throw new GlasshouseError(
    'backend_unavailable',
    `The jailer ${text} does not belong to Firecracker ${firecracker.text}: both must be of one version.`,
  );
}

/** Runs `program --version`. Throws `tool_failed` or `backend_unavailable`. */
export async function versionOf(
  name: 'Firecracker' | 'Jailer',
  program: string,
  signal?: AbortSignal,
): Promise<ProgramVersion> {
  const { exitCode, stdout } = await runToCompletion(program, ['--version'], {
    timeoutMs: VERSION_TIMEOUT_MS,
    maxOutputBytes: 65_536,
    ...(signal === undefined ? {} : { signal }),
  });
  const version = exitCode === 0 ? parseVersion(name, stdout.toString('utf8')) : null;
  if (version !== null) return version;
  throw new GlasshouseError(
    'backend_unavailable',
    `${program} --version did not name a version of ${name}: is it another program?`,
  );
}
