import { GlasshouseError } from '../base/errors.js';

/** A directory or a regular file of an archive. */
export interface ArchiveEntry {
  /** Relative, without a leading slash. */
  readonly path: string;
  /** File type and permission bits, as in stat(2). */
  readonly mode: number;
  readonly content: Uint8Array;
}

export const DIRECTORY = 0o040_000;
export const REGULAR_FILE = 0o100_000;

const MAGIC = '070701';
const HEADER_BYTES = 110;
const TRAILER = 'TRAILER!!!';
const FIELD_COUNT = 13;
const MODE_FIELD = 1;
const FILE_SIZE_FIELD = 6;
const NAME_SIZE_FIELD = 11;

/**
 * Writes a "newc" cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst). The same entries
 * give the same bytes: owner root, time 0, inode numbers counted up.
 */
export function writeArchive(entries: readonly ArchiveEntry[]): Uint8Array {
  const parts = entries.flatMap((entry, index) => encodeEntry(entry, index + 1));
  return Buffer.concat([...parts, ...encodeEntry({ path: TRAILER, mode: 0, content: new Uint8Array() }, 0)]);
}

/**
 * Reads an archive that writeArchive() wrote.
 *
 * @throws GlasshouseError `image_corrupt` for anything else.
 */
export function readArchive(archive: Uint8Array): readonly ArchiveEntry[] {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  const entries: ArchiveEntry[] = [];
  let position = 0;
  for (;;) {
    const fields = decodeHeader(bytes, position);
    const nameEnd = position + HEADER_BYTES + fields.nameBytes;
    const contentStart = padded(nameEnd);
    const contentEnd = contentStart + fields.contentBytes;
    if (fields.nameBytes === 0 || contentEnd > bytes.length) throw corrupt();
    const path = bytes.toString('utf8', position + HEADER_BYTES, nameEnd - 1);
    if (path === TRAILER) return entries;
    entries.push({ path, mode: fields.mode, content: bytes.subarray(contentStart, contentEnd) });
    position = padded(contentEnd);
  }
}

function encodeEntry(entry: ArchiveEntry, inode: number): readonly Uint8Array[] {
  const name = Buffer.from(`${entry.path}\0`);
  const fields = [
    inode,
    entry.mode,
    0, // owner
    0, // group
    1, // links
    0, // modification time
    entry.content.length,
    0, // device, major and minor
    0,
    0, // device of a device node, major and minor
    0,
    name.length,
    0, // checksum, only used by another format
  ];
  const header = MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join('');
  return [
    Buffer.from(header),
    name,
    padding(HEADER_BYTES + name.length),
    entry.content,
    padding(entry.content.length),
  ];
}

function decodeHeader(
  bytes: Buffer,
  position: number,
): { readonly mode: number; readonly contentBytes: number; readonly nameBytes: number } {
  const header = bytes.toString('latin1', position, position + HEADER_BYTES);
  if (!/^070701[0-9a-f]{104}$/.test(header)) throw corrupt();
  const fields = Array.from({ length: FIELD_COUNT }, (_, index) => {
    const start = MAGIC.length + index * 8;
    return Number.parseInt(header.slice(start, start + 8), 16);
  });
  const field = (index: number): number => fields[index] ?? 0;
  return {
    mode: field(MODE_FIELD),
    contentBytes: field(FILE_SIZE_FIELD),
    nameBytes: field(NAME_SIZE_FIELD),
  };
}

/** Names and contents start at multiples of four bytes. */
function padded(position: number): number {
  return Math.ceil(position / 4) * 4;
}

function padding(length: number): Uint8Array {
  return new Uint8Array(padded(length) - length);
}

function corrupt(): GlasshouseError {
  return new GlasshouseError('image_corrupt', 'The initramfs is not an archive that Glasshouse wrote.');
}
