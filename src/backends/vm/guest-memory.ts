import { type FileHandle, open } from 'node:fs/promises';

import { openAnonymousFile } from '../../base/anonymous-file.js';
import { dataBlocks, type DataBlock } from '../../base/data-blocks.js';
import { writeFully } from '../../base/write-fully.js';
import { SealableMemory } from './sealable-memory.js';

/** Memory of a guest in a file: first of one that is to be frozen, then of the clones, none of which can change it. */
export interface GuestMemory extends AsyncDisposable {
  readonly sizeBytes: number;
  readonly file: FileHandle;
}

/**
 * Where memory of frozen guests is while clones use it. `path` is where the store keeps it, in a directory that nobody
 * else can enter.
 */
export interface MemoryKeeper {
  /** For a guest that is to be frozen. */
  create(sizeBytes: number): Promise<GuestMemory>;
  /** For clones, now that all of it is also stored at `path`; takes `frozen` over. */
  keep(frozen: GuestMemory, path: string): Promise<GuestMemory>;
  /** For clones, from what is stored at `path`; `check` sees every block of it and throws when it is not right. */
  load(path: string, sizeBytes: number, check: MemoryCheck): Promise<GuestMemory>;
}

export interface MemoryCheck {
  add(block: DataBlock): void;
  /** After the last block. */
  finish(): void;
}

/** In memory that the kernel seals, for monitors that inherit descriptors. */
export class SealedMemories implements MemoryKeeper {
  readonly #helper: string;

  /** `helper`: path of host/sealed-memory. */
  constructor(helper: string) {
    this.#helper = helper;
  }

  create(sizeBytes: number): Promise<SealableMemory> {
    return SealableMemory.create(this.#helper, sizeBytes);
  }

  async keep(frozen: GuestMemory): Promise<GuestMemory> {
    if (!(frozen instanceof SealableMemory)) throw new TypeError('this memory cannot be sealed');
    await frozen.seal();
    return frozen;
  }

  async load(path: string, sizeBytes: number, check: MemoryCheck): Promise<GuestMemory> {
    await using source = await open(path, 'r');
    const memory = await this.create(sizeBytes);
    try {
      for await (const block of dataBlocks(source, sizeBytes)) {
        check.add(block);
        await writeFully(memory.file, block.bytes, block.offset);
      }
      check.finish();
      await memory.seal();
      return memory;
    } catch (error) {
      await memory[Symbol.asyncDispose]();
      throw error;
    }
  }
}

/**
 * In the stored file itself, for monitors that open files by name: they may read it, and nobody but its owner may write
 * to it.
 */
export class FileMemories implements MemoryKeeper {
  readonly #spoolDirectory: string;

  /** On the file system of the cells: a guest that is to be frozen writes to a file there. */
  constructor(spoolDirectory: string) {
    this.#spoolDirectory = spoolDirectory;
  }

  async create(sizeBytes: number): Promise<GuestMemory> {
    const file = await openAnonymousFile(this.#spoolDirectory);
    try {
      await file.truncate(sizeBytes);
      return memoryIn(file, sizeBytes);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async keep(frozen: GuestMemory, path: string): Promise<GuestMemory> {
    const file = await openForReaders(path);
    await frozen[Symbol.asyncDispose]();
    return memoryIn(file, frozen.sizeBytes);
  }

  async load(path: string, sizeBytes: number, check: MemoryCheck): Promise<GuestMemory> {
    const file = await openForReaders(path);
    try {
      for await (const block of dataBlocks(file, sizeBytes)) check.add(block);
      check.finish();
      return memoryIn(file, sizeBytes);
    } catch (error) {
      await file.close();
      throw error;
    }
  }
}

function memoryIn(file: FileHandle, sizeBytes: number): GuestMemory {
  return { sizeBytes, file, [Symbol.asyncDispose]: () => file.close() };
}

/** A machine reads it as a user of its own; how it gets there is for its monitor to arrange. */
async function openForReaders(path: string): Promise<FileHandle> {
  const file = await open(path, 'r');
  try {
    await file.chmod(0o444);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
