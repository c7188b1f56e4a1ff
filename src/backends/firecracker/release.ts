import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { asGlasshouseError, GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { readTarFiles } from './tar.js';

/** An archive of a release is 7 MB, and the programs in it 30 MB. */
const MAX_ARCHIVE_BYTES = 64 * 1024 * 1024;
const MAX_UNPACKED_BYTES = 256 * 1024 * 1024;
const MAX_PROGRAM_BYTES = 64 * 1024 * 1024;
const DOWNLOAD_TIMEOUT_MS = 300_000;
const PROGRAMS = ['firecracker', 'jailer'] as const;
const VERSION_DIRECTORY = /^(\d{1,4})\.(\d{1,4})\.(\d{1,4})$/;

/** One archive of an official release of Firecracker. */
export interface Release {
  readonly version: string;
  readonly architecture: string;
  /** Where it is published. */
  readonly url: string;
  /** Of the archive. */
  readonly sha256: string;
}

/** As published beside the archives: FILE.sha256.txt. */
const PINNED_VERSION = '1.16.1';
const PINNED_SHA256: Readonly<Partial<Record<string, string>>> = {
  x86_64: '382a02a869e4d6d5cb14c40577f9545e8458021ea8b0b2d3fc10ec14d9c242e6',
  aarch64: '8d0e69f6d6f9a1724551f607f18504052c16c1828ee3d4d7b6e6c73380871e0e',
};
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  x64: 'x86_64',
  arm64: 'aarch64',
};

/** The release that this version of Glasshouse was tested with, for this machine. Throws `backend_unavailable`. */
export function pinnedRelease(arch: NodeJS.Architecture = process.arch): Release {
  const architecture = ARCHITECTURES[arch] ?? '';
  const sha256 = PINNED_SHA256[architecture];
  if (sha256 === undefined)
    throw new GlasshouseError(
      'backend_unavailable',
      `There is no Firecracker for a machine of kind ${arch}.`,
    );
  const file = `firecracker-v${PINNED_VERSION}-${architecture}.tgz`;
  const url = `https://github.com/firecracker-microvm/firecracker/releases/download/v${PINNED_VERSION}/${file}`;
  return { version: PINNED_VERSION, architecture, url, sha256 };
}

export interface InstallOptions {
  readonly release: Release;
  /** Existing directory; the release gets one of its own in it, named by its version. */
  readonly directory: string;
  /** An archive that somebody brought; null: it is downloaded. */
  readonly archive: string | null;
  readonly signal: AbortSignal;
}

/**
 * Puts firecracker and jailer of a release where they are looked for; resolves to that directory. Nothing is there, or
 * all of it. Throws `tool_missing`, with what to bring and where, or `tool_failed` when the archive is not the release.
 */
export async function installRelease(options: InstallOptions): Promise<string> {
  const { release, directory, archive, signal } = options;
  const bytes = archive === null ? await download(release, signal) : await readArchive(archive);
  checkDigest(release, bytes, archive ?? release.url);
  const programs = await unpack(release, bytes);
  const target = path.join(directory, release.version);
  const work = path.join(directory, `.work-${randomBytes(6).toString('hex')}`);
  try {
    await mkdir(work, { mode: 0o755 });
    for (const [name, content] of programs) await writeProgram(path.join(work, name), content);
    await rm(target, { recursive: true, force: true });
    await rename(work, target);
    return target;
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw asGlasshouseError(error);
  }
}

/** The newest release that was installed in `directory`; null when there is none. */
export async function newestInstalled(directory: string): Promise<string | null> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw asGlasshouseError(error);
  }
  const versions = names.filter((name) => VERSION_DIRECTORY.test(name)).sort(byVersion);
  const newest = versions.at(-1);
  return newest === undefined ? null : path.join(directory, newest);
}

function byVersion(one: string, other: string): number {
  return one.localeCompare(other, 'en', { numeric: true });
}

async function download({ url, sha256 }: Release, signal: AbortSignal): Promise<Buffer> {
  try {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS)]);
    const response = await fetch(url, { signal: deadline, redirect: 'follow' });
    if (!response.ok || response.body === null) throw new Error(`the server answered ${response.status}`);
    return await readBounded(response.body);
  } catch (error) {
    if (signal.aborted) throw new GlasshouseError('canceled', 'The download was canceled.', { cause: error });
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GlasshouseError(
      'tool_missing',
      `Firecracker could not be downloaded: ${reason}. Bring the file ${url} (sha256 ${sha256}) from a machine that can reach it, and run "glasshouse setup firecracker --archive FILE".`,
      { cause: error },
    );
  }
}

async function readBounded(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > MAX_ARCHIVE_BYTES) throw new Error(`the file is larger than ${MAX_ARCHIVE_BYTES} bytes`);
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}

async function readArchive(file: string): Promise<Buffer> {
  try {
    await using source = await open(file, 'r');
    const { size } = await source.stat();
    if (size > MAX_ARCHIVE_BYTES) throw new Error(`it is larger than ${MAX_ARCHIVE_BYTES} bytes`);
    return await source.readFile();
  } catch (error) {
    const reason = asGlasshouseError(error).message;
    throw new GlasshouseError('tool_missing', `${file} cannot be read: ${reason}`, { cause: error });
  }
}

function checkDigest({ version, sha256, url }: Release, bytes: Uint8Array, source: string): void {
  const found = createHash('sha256').update(bytes).digest('hex');
  if (found === sha256) return;
  throw new GlasshouseError(
    'tool_failed',
    `${source} is not Firecracker ${version}: its sha256 is ${found}, that of ${url} is ${sha256}. Nothing was installed.`,
  );
}

/** By name; what else is in the archive is passed over, and no path in it is ever used. */
async function unpack(release: Release, bytes: Uint8Array): Promise<Map<string, Buffer>> {
  const suffix = `v${release.version}-${release.architecture}`;
  const wanted = new Map<string, string>(
    PROGRAMS.map((name) => [`release-${suffix}/${name}-${suffix}`, name]),
  );
  try {
    const tar = await promisify(gunzip)(bytes, { maxOutputLength: MAX_UNPACKED_BYTES });
    const programs = new Map<string, Buffer>();
    for (const { name, content } of readTarFiles(tar)) {
      const program = wanted.get(name);
      if (program !== undefined && content.length <= MAX_PROGRAM_BYTES) programs.set(program, content);
    }
    if (programs.size === PROGRAMS.length) return programs;
  } catch (error) {
    throw notUnpacked(release, error);
  }
  throw notUnpacked(release, null);
}

function notUnpacked({ version }: Release, cause: unknown): GlasshouseError {
  const message = `The archive of Firecracker ${version} does not have firecracker and jailer in it.`;
  return new GlasshouseError('tool_failed', message, { cause });
}

async function writeProgram(file: string, content: Uint8Array): Promise<void> {
  await using target = await open(file, 'wx', 0o755);
  await target.writeFile(content);
  await target.sync();
}
