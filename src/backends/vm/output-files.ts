import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { type FileHandle } from 'node:fs/promises';

import { openAnonymousFile } from '../../base/anonymous-file.js';
import { writeFully } from '../../base/write-fully.js';
import { GlasshouseError } from '../../base/errors.js';
import { type GuestMessage, type OutputKind } from '../../guest-link/guest-message.js';
import { type OmissionReason, type OutputFile } from '../backend.js';

const READ_BYTES = 256 * 1024;

const OMISSIONS: Readonly<Record<Exclude<OutputKind, 'file'>, OmissionReason>> = {
  too_large: 'too_large',
  symlink: 'not_a_regular_file',
  other: 'not_a_regular_file',
  unreadable: 'unreadable',
};

type FileHeader = Extract<GuestMessage, { type: 'output_file' }>;

/** A file whose bytes are arriving. */
interface Arriving {
  readonly header: FileHeader;
  readonly hash: Hash;
  readonly offset: number;
  received: number;
}

/**
 * Keeps the files that a guest sends in one anonymous file on the host, whatever they are called in the guest.
 * GuestOrder has already checked sizes and counts.
 */
export class OutputFiles implements AsyncDisposable {
  readonly #directory: string;
  readonly #files: OutputFile[] = [];
  #spool: FileHandle | null = null;
  #spoolBytes = 0;
  #arriving: Arriving | null = null;

  constructor(directory: string) {
    this.#directory = directory;
  }

  get files(): readonly OutputFile[] {
    return this.#files;
  }

  begin(header: FileHeader): void {
    if (header.kind !== 'file') {
      this.#files.push(omittedFile(header, OMISSIONS[header.kind]));
      return;
    }
    this.#arriving = { header, hash: createHash('sha256'), offset: this.#spoolBytes, received: 0 };
    this.#completeIfAllArrived(this.#arriving);
  }

  async append(bytes: Buffer): Promise<void> {
    const arriving = this.#arriving;
    if (arriving === null)
      throw new GlasshouseError('internal', 'Bytes of an output file came without a file.');
    this.#spool ??= await openAnonymousFile(this.#directory);
    await writeFully(this.#spool, bytes, this.#spoolBytes);
    this.#spoolBytes += bytes.length;
    arriving.received += bytes.length;
    arriving.hash.update(bytes);
    this.#completeIfAllArrived(arriving);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#spool?.close();
    this.#spool = null;
  }

  #completeIfAllArrived(arriving: Arriving): void {
    const { header, hash, offset, received } = arriving;
    if (received < header.sizeBytes) return;
    this.#arriving = null;
    this.#files.push({
      path: header.path,
      mode: header.mode,
      sizeBytes: header.sizeBytes,
      sha256: hash.digest('hex'),
      omitted: null,
      read: () => this.#read(offset, header.sizeBytes),
    });
  }

  *#read(offset: number, sizeBytes: number): Generator<Uint8Array, void> {
    for (let done = 0; done < sizeBytes;) {
      if (this.#spool === null)
        throw new GlasshouseError('internal', 'Output files were read after cleanup.');
      const chunk = Buffer.alloc(Math.min(READ_BYTES, sizeBytes - done));
      const bytesRead = readSync(this.#spool.fd, chunk, 0, chunk.length, offset + done);
      if (bytesRead === 0) throw new GlasshouseError('internal', 'The spool of output files is too short.');
      yield chunk.subarray(0, bytesRead);
      done += bytesRead;
    }
  }
}

function omittedFile(header: FileHeader, omitted: OmissionReason): OutputFile {
  return {
    path: header.path,
    mode: header.mode,
    sizeBytes: header.sizeBytes,
    sha256: null,
    omitted,
    read: () => [],
  };
}
