import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { systemErrorCode } from '../base/errors.js';
import { sha256OfFile } from './digest.js';

/** Name of the cache file beside the parts. */
export const VERIFIED_FILE = '.verified.json';

/** What tells one state of a file from another; any write to it changes at least `changed`. */
interface FileIdentity {
  readonly device: string;
  readonly inode: string;
  readonly size: string;
  readonly modified: string;
  readonly changed: string;
}

/**
 * Digests of files that were read before, so that a start need not read hundreds of megabytes again. The cache
 * is no protection against someone who can write to the image's directory: such a one can write a manifest.
 */
export class VerifiedParts {
  readonly #path: string;
  readonly #known: Map<string, string>;
  #dirty = false;

  private constructor(path: string, known: Map<string, string>) {
    this.#path = path;
    this.#known = known;
  }

  static async load(directory: string): Promise<VerifiedParts> {
    const path = join(directory, VERIFIED_FILE);
    return new VerifiedParts(path, parseCache(await readCache(path)));
  }

  /** Size and SHA-256 of a file as it is now. */
  async digestOf(path: string): Promise<{ readonly sizeBytes: number; readonly sha256: string }> {
    const identity = await identify(path);
    const key = JSON.stringify([basename(path), identity]);
    const known = this.#known.get(key);
    if (known !== undefined) return { sizeBytes: Number(identity.size), sha256: known };
    const sha256 = await sha256OfFile(path);
    // A file that changed while it was read is not remembered.
    if (JSON.stringify(await identify(path)) === JSON.stringify(identity)) {
      this.#known.set(key, sha256);
      this.#dirty = true;
    }
    return { sizeBytes: Number(identity.size), sha256 };
  }

  /** Keeps what was learnt for the next time, where the directory can be written to. */
  async save(): Promise<void> {
    if (!this.#dirty) return;
    const entries = [...this.#known].slice(-MAX_ENTRIES);
    const temporary = `${this.#path}.${randomUUID()}`;
    try {
      await writeFile(temporary, `${JSON.stringify(entries)}\n`, { mode: 0o644 });
      await rename(temporary, this.#path);
      this.#dirty = false;
    } catch (error) {
      await rm(temporary, { force: true });
      // An image that may only be read is verified at every start instead.
      if (!['EACCES', 'EPERM', 'EROFS', 'ENOSPC'].includes(systemErrorCode(error) ?? '')) throw error;
    }
  }
}

/** Enough for a few generations of an image. */
const MAX_ENTRIES = 16;

async function identify(path: string): Promise<FileIdentity> {
  const stats = await stat(path, { bigint: true });
  return {
    device: String(stats.dev),
    inode: String(stats.ino),
    size: String(stats.size),
    modified: String(stats.mtimeNs),
    changed: String(stats.ctimeNs),
  };
}

async function readCache(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'EACCES'].includes(systemErrorCode(error) ?? '')) return '[]';
    throw error;
  }
}

/** A cache that cannot be read is no cache: everything is digested again. */
function parseCache(text: string): Map<string, string> {
  const known = new Map<string, string>();
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch {
    return known;
  }
  if (!Array.isArray(entries)) return known;
  for (const entry of entries as unknown[]) {
    const [key, sha256] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof key === 'string' && typeof sha256 === 'string') known.set(key, sha256);
  }
  return known;
}
