/** tar(5), "POSIX ustar Archives". */
const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const SIZE_OFFSET = 124;
const SIZE_BYTES = 12;
const TYPE_OFFSET = 156;
const PREFIX_OFFSET = 345;
const PREFIX_BYTES = 155;
const REGULAR_FILE: readonly string[] = ['0', '\0'];

export interface TarFile {
  /** As the archive says it. Never a path to open. */
  readonly name: string;
  readonly content: Buffer;
}

/** The regular files of an archive that is whole in memory. Throws RangeError where it is cut off or not one. */
export function* readTarFiles(tar: Buffer): Generator<TarFile, void> {
  for (let offset = 0; offset + BLOCK_BYTES <= tar.length;) {
    const header = tar.subarray(offset, offset + BLOCK_BYTES);
    // The end is two blocks of zeros; one is enough to know.
    if (header[0] === 0) return;
    const size = sizeOf(header);
    const start = offset + BLOCK_BYTES;
    if (start + size > tar.length) throw new RangeError('the archive is cut off');
    if (REGULAR_FILE.includes(String.fromCharCode(header[TYPE_OFFSET] ?? 1)))
      yield { name: nameOf(header), content: tar.subarray(start, start + size) };
    offset = start + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
  }
}

function sizeOf(header: Buffer): number {
  const text = textAt(header, SIZE_OFFSET, SIZE_BYTES).trim();
  if (!/^[0-7]{1,11}$/.test(text)) throw new RangeError('the archive has a size that is no number');
  return Number.parseInt(text, 8);
}

function nameOf(header: Buffer): string {
  const name = textAt(header, 0, NAME_BYTES);
  const prefix = textAt(header, PREFIX_OFFSET, PREFIX_BYTES);
  return prefix === '' ? name : `${prefix}/${name}`;
}

function textAt(header: Buffer, offset: number, length: number): string {
  const field = header.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end < 0 ? length : end);
}
