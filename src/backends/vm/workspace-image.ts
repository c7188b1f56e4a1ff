import { type FileHandle } from 'node:fs/promises';
import path from 'node:path';

import { openAnonymousFile } from '../../base/anonymous-file.js';
import { runToCompletion } from '../../base/child-process.js';
import { BLOCK_BYTES, dataBlocks } from '../../base/data-blocks.js';
import { writeFully } from '../../base/write-fully.js';
import { asGlasshouseError, GlasshouseError } from '../../base/errors.js';

const MKE2FS_TIMEOUT_MS = 30_000;
/** Templates of this many different sizes are remembered. */
const MAX_TEMPLATES = 16;

/** A file system image reduced to the blocks that are not zero. */
export interface ImageTemplate {
  readonly sizeBytes: number;
  readonly extents: readonly { readonly offset: number; readonly bytes: Buffer }[];
}

/**
 * Makes workspace images: sparse, anonymous files with an empty ext4 file system. mke2fs runs once per size;
 * every further image is a handful of writes.
 */
export class WorkspaceImages {
  readonly #directory: string;
  readonly #templates = new Map<number, Promise<ImageTemplate>>();

  /** `directory` must exist; nothing in it keeps a name. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** A new image of `diskMb` MiB. The caller closes it, which also removes it. Throws `disk_full`. */
  async create(diskMb: number): Promise<FileHandle> {
    return this.copy(await this.#template(diskMb));
  }

  /** What is in an image now, reduced to the blocks that are not zero. */
  async templateOf(image: FileHandle, diskMb: number): Promise<ImageTemplate> {
    const sizeBytes = diskMb * 1024 * 1024;
    return { sizeBytes, extents: await readExtents(image, sizeBytes) };
  }

  /** A new image with the contents of a template. The caller closes it, which also removes it. Throws `disk_full`. */
  async copy(template: ImageTemplate): Promise<FileHandle> {
    const file = await openAnonymousFile(this.#directory);
    try {
      await file.truncate(template.sizeBytes);
      await Promise.all(template.extents.map(({ bytes, offset }) => writeFully(file, bytes, offset)));
      return file;
    } catch (error) {
      await file.close();
      throw asGlasshouseError(error);
    }
  }

  #template(diskMb: number): Promise<ImageTemplate> {
    const known = this.#templates.get(diskMb);
    if (known !== undefined) return known;
    const made = this.#makeTemplate(diskMb);
    this.#templates.set(diskMb, made);
    made.catch(() => this.#templates.delete(diskMb));
    const oldest = this.#templates.keys().next();
    if (this.#templates.size > MAX_TEMPLATES && oldest.done !== true) this.#templates.delete(oldest.value);
    return made;
  }

  async #makeTemplate(diskMb: number): Promise<ImageTemplate> {
    const file = await openAnonymousFile(this.#directory);
    try {
      const sizeBytes = diskMb * 1024 * 1024;
      await file.truncate(sizeBytes);
      await format(file);
      return { sizeBytes, extents: await readExtents(file, sizeBytes) };
    } finally {
      await file.close();
    }
  }
}

/**
 * No journal: the image lives for one run only. Lazy tables: they stay holes. The descriptor is inherited, so
 * the nameless file has a path for mke2fs.
 */
async function format(file: FileHandle): Promise<void> {
  const options = ['-q', '-F', '-t', 'ext4', '-b', String(BLOCK_BYTES), '-m', '0'];
  const features = [
    '-O',
    '^has_journal,^resize_inode',
    '-E',
    'lazy_itable_init=1,nodiscard,root_owner=1000:1000',
  ];
  const target = path.join('/proc', String(process.pid), 'fd', String(file.fd));
  const result = await runToCompletion('mke2fs', [...options, ...features, target], {
    timeoutMs: MKE2FS_TIMEOUT_MS,
  });
  if (result.exitCode === 0) return;
  const reason = result.stderr.toString('utf8').trim();
  throw new GlasshouseError(
    reason.includes('No space left') ? 'disk_full' : 'internal',
    `mke2fs could not make a workspace image: ${reason}`,
  );
}

async function readExtents(file: FileHandle, sizeBytes: number): Promise<ImageTemplate['extents']> {
  const extents: { offset: number; bytes: Buffer }[] = [];
  for await (const { offset, bytes } of dataBlocks(file, sizeBytes)) {
    extents.push({ offset, bytes: Buffer.from(bytes) });
  }
  return joinAdjacent(extents);
}

function joinAdjacent(extents: { offset: number; bytes: Buffer }[]): ImageTemplate['extents'] {
  const joined: { offset: number; parts: Buffer[]; end: number }[] = [];
  for (const { offset, bytes } of extents) {
    const last = joined.at(-1);
    if (last?.end === offset) {
      last.parts.push(bytes);
      last.end += bytes.length;
    } else {
      joined.push({ offset, parts: [bytes], end: offset + bytes.length });
    }
  }
  return joined.map(({ offset, parts }) => ({ offset, bytes: Buffer.concat(parts) }));
}
