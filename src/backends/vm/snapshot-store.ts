import { createHash } from 'node:crypto';
import {
  type FileHandle,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';

import { openAnonymousFile } from '../../base/anonymous-file.js';
import { BLOCK_BYTES, dataBlocks } from '../../base/data-blocks.js';
import { asGlasshouseError, GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { writeFully } from '../../base/write-fully.js';
import { type GuestMemory, type MemoryCheck, type MemoryKeeper } from './guest-memory.js';
import { type FrozenGuest } from './snapshot-builder.js';
import {
  formatSnapshotManifest,
  parseSnapshotManifest,
  type SnapshotManifest,
  type SnapshotPart,
} from './snapshot-manifest.js';
import { type Profile, type Snapshot } from './snapshot.js';
import { type ImageTemplate } from './workspace-image.js';

const MANIFEST_FILE = 'snapshot.json';
const MIB = 1024 * 1024;
/** Stored snapshots, whatever they were made for; the oldest go. */
const MAX_STORED = 6;
const ABANDONED_AFTER_MS = 3_600_000;

/** Snapshots on disk, one directory each, named by the digest of everything that it depends on. */
export class SnapshotStore {
  readonly #directory: string;
  readonly #spoolDirectory: string;
  readonly #memories: MemoryKeeper;

  /** Both directories must exist and be closed to other users: memory of a guest tells its secrets. */
  constructor(directory: string, spoolDirectory: string, memories: MemoryKeeper) {
    this.#directory = directory;
    this.#spoolDirectory = spoolDirectory;
    this.#memories = memories;
  }

  /** Writes a frozen guest down, all or nothing, and keeps its memory for clones. Throws `disk_full`. */
  async save(key: string, profile: Profile, frozen: FrozenGuest): Promise<Snapshot> {
    const target = path.join(this.#directory, key);
    const work = await mkdtemp(path.join(this.#directory, '.work-'));
    try {
      const memoryBytes = frozen.memory.sizeBytes;
      const manifest: SnapshotManifest = {
        key,
        created: new Date().toISOString(),
        profile,
        link: frozen.link,
        memoryBytes,
        digests: {
          memory: await writeBlocks(
            path.join(work, 'memory'),
            memoryBytes,
            dataBlocks(frozen.memory.file, memoryBytes),
          ),
          state: await writeState(path.join(work, 'state'), frozen.state),
          workspace: await writeTemplate(path.join(work, 'workspace'), frozen.workspace),
        },
      };
      const text = formatSnapshotManifest(manifest);
      await writeFile(path.join(work, MANIFEST_FILE), text, { flush: true });
      await rm(target, { recursive: true, force: true });
      await rename(work, target);
      const memory = await this.#memories.keep(frozen.memory, path.join(target, 'memory'));
      return await this.#open(text, manifest, memory, frozen.state, frozen.workspace);
    } catch (error) {
      await rm(work, { recursive: true, force: true });
      throw asGlasshouseError(error);
    }
  }

  /**
   * The stored snapshot of this key; null when there is none. Throws `snapshot_corrupt` when any part of it is not
   * what was written, or was written for another key.
   */
  async load(key: string): Promise<Snapshot | null> {
    const directory = path.join(this.#directory, key);
    const text = await readIfPresent(path.join(directory, MANIFEST_FILE));
    if (text === null) return null;
    const manifest = parseSnapshotManifest(text);
    requireKey(key, manifest);
    try {
      const state = await readState(directory, manifest);
      const workspace = await readTemplate(directory, manifest);
      const memory = await this.#memories.load(
        path.join(directory, 'memory'),
        manifest.memoryBytes,
        memoryCheck(manifest),
      );
      return await this.#open(text, manifest, memory, state, workspace);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw asGlasshouseError(error, 'snapshot_corrupt');
      throw new GlasshouseError('snapshot_corrupt', 'A part of the snapshot is missing.', { cause: error });
    }
  }

  async remove(key: string): Promise<void> {
    await rm(path.join(this.#directory, key), { recursive: true, force: true });
  }

  /** Removes what crashed writers left and, beyond a bound, the oldest snapshots; never the one of `keep`. */
  async tidy(keep: string): Promise<void> {
    const known: { name: string; created: string }[] = [];
    for (const name of await readdir(this.#directory)) {
      if (name === keep) continue;
      if (name.startsWith('.')) {
        await this.#removeIfAbandoned(name);
        continue;
      }
      const text = await readIfPresent(path.join(this.#directory, name, MANIFEST_FILE));
      known.push({ name, created: text === null ? '' : createdOf(text) });
    }
    known.sort((a, b) => (a.created < b.created ? 1 : -1));
    for (const { name } of known.slice(MAX_STORED - 1)) await this.remove(name);
  }

  /** Another process may be writing it at this moment, but not for that long. */
  async #removeIfAbandoned(name: string): Promise<void> {
    const target = path.join(this.#directory, name);
    const status = await lstat(target).catch(() => null);
    if (status !== null && Date.now() - status.mtimeMs > ABANDONED_AFTER_MS)
      await rm(target, { recursive: true });
  }

  /** When that fails, nobody else disposes `memory`. */
  async #writeState(state: Uint8Array, memory: GuestMemory): Promise<FileHandle> {
    let file: FileHandle | null = null;
    try {
      file = await openAnonymousFile(this.#spoolDirectory);
      await writeFully(file, state, 0);
      return file;
    } catch (error) {
      await file?.close();
      await memory[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #open(
    text: string,
    manifest: SnapshotManifest,
    memory: GuestMemory,
    state: Uint8Array,
    workspace: ImageTemplate,
  ): Promise<Snapshot> {
    const stateFile = await this.#writeState(state, memory);
    return {
      identity: {
        sha256: createHash('sha256').update(text).digest('hex'),
        createdAt: new Date(manifest.created),
      },
      profile: manifest.profile,
      memory,
      // Opened anew for each: descriptors that are only copied would share one position.
      openState: () => open(`/proc/self/fd/${stateFile.fd}`, 'r'),
      workspace,
      link: manifest.link,
      [Symbol.asyncDispose]: async () => {
        await stateFile.close();
        await memory[Symbol.asyncDispose]();
      },
    };
  }
}

/** A store that was copied or put together by hand may hold one under the name of another. */
function requireKey(key: string, manifest: SnapshotManifest): void {
  if (manifest.key === key) return;
  const message =
    'A stored snapshot was made by another program, on another processor or for another image than its name says.';
  throw new GlasshouseError('snapshot_corrupt', message);
}

function memoryCheck(manifest: SnapshotManifest): MemoryCheck {
  const hash = new BlockHash();
  return {
    add: ({ offset, bytes }) => {
      hash.add(offset, bytes);
    },
    finish: () => {
      hash.expect('memory', manifest);
    },
  };
}

/** sha256 over blocks with their offsets, so that holes cost nothing. */
class BlockHash {
  readonly #hash = createHash('sha256');
  readonly #offset = Buffer.alloc(8);

  add(offset: number, bytes: Uint8Array): void {
    this.#offset.writeBigUInt64LE(BigInt(offset));
    this.#hash.update(this.#offset).update(bytes);
  }

  digest(): string {
    return this.#hash.digest('hex');
  }

  expect(part: SnapshotPart, manifest: SnapshotManifest): void {
    if (this.digest() === manifest.digests[part]) return;
    throw new GlasshouseError('snapshot_corrupt', `The ${part} of the snapshot is not what was written.`);
  }
}

async function writeBlocks(
  file: string,
  sizeBytes: number,
  blocks: AsyncIterable<{ readonly offset: number; readonly bytes: Uint8Array }>,
): Promise<string> {
  await using target = await open(file, 'wx', 0o600);
  await target.truncate(sizeBytes);
  const hash = new BlockHash();
  for await (const { offset, bytes } of blocks) {
    hash.add(offset, bytes);
    await writeFully(target, bytes, offset);
  }
  await target.sync();
  return hash.digest();
}

async function writeState(file: string, state: Uint8Array): Promise<string> {
  await writeFile(file, state, { mode: 0o600, flush: true });
  return hashOfState(state).digest();
}

function hashOfState(state: Uint8Array): BlockHash {
  const hash = new BlockHash();
  hash.add(0, state);
  return hash;
}

async function readState(directory: string, manifest: SnapshotManifest): Promise<Uint8Array> {
  const state = await readFile(path.join(directory, 'state'));
  hashOfState(state).expect('state', manifest);
  return state;
}

async function* blocksOf(
  template: ImageTemplate,
): AsyncGenerator<{ offset: number; bytes: Uint8Array }, void> {
  for (const { offset, bytes } of template.extents) {
    for (let start = 0; start < bytes.length; start += BLOCK_BYTES) {
      yield await Promise.resolve({
        offset: offset + start,
        bytes: bytes.subarray(start, start + BLOCK_BYTES),
      });
    }
  }
}

async function writeTemplate(file: string, template: ImageTemplate): Promise<string> {
  return writeBlocks(file, template.sizeBytes, blocksOf(template));
}

async function readTemplate(directory: string, manifest: SnapshotManifest): Promise<ImageTemplate> {
  await using source = await openPart(directory, 'workspace');
  const sizeBytes = manifest.profile.diskMb * MIB;
  const extents: { offset: number; bytes: Buffer }[] = [];
  const hash = new BlockHash();
  for await (const { offset, bytes } of dataBlocks(source, sizeBytes)) {
    hash.add(offset, bytes);
    extents.push({ offset, bytes: Buffer.from(bytes) });
  }
  hash.expect('workspace', manifest);
  return { sizeBytes, extents };
}

function openPart(directory: string, part: SnapshotPart): Promise<FileHandle> {
  return open(path.join(directory, part), 'r');
}

async function readIfPresent(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) return null;
    throw asGlasshouseError(error);
  }
}

/** An unreadable manifest counts as old. */
function createdOf(text: string): string {
  try {
    return parseSnapshotManifest(text).created;
  } catch (error) {
    if (error instanceof GlasshouseError) return '';
    throw error;
  }
}

export async function makeSnapshotDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
}
