import { gunzipSync } from 'node:zlib';

import { GlasshouseError } from '../base/errors.js';
import { decompressLegacyFrame } from './lz4.js';

/** Where things are in the boot header (Documentation/arch/x86/boot.rst). */
const SETUP_SECTORS_OFFSET = 0x1f1;
const HEADER_MAGIC_OFFSET = 0x202;
const PROTOCOL_VERSION_OFFSET = 0x206;
const PAYLOAD_OFFSET_OFFSET = 0x248;
const PAYLOAD_LENGTH_OFFSET = 0x24c;
const HEADER_BYTES = 0x260;

const SECTOR_BYTES = 512;
/** payload_offset and payload_length exist since boot protocol 2.08. */
const OLDEST_PROTOCOL_VERSION = 0x0208;
const MAX_KERNEL_BYTES = 256 * 1024 * 1024;
/** The kernel's build appends the decompressed size to the payload: four bytes, little-endian. */
const SIZE_TRAILER_BYTES = 4;

/**
 * Takes the ELF file `vmlinux` out of a bzImage: virtual machine monitors start it directly, which saves the
 * guest from decompressing itself.
 *
 * @throws GlasshouseError `image_build_failed` when it is no bzImage or compressed in an unsupported way.
 */
export function extractKernelElf(bzImage: Uint8Array): Uint8Array {
  const payload = locatePayload(bzImage);
  const elf = decompress(payload);
  assertElf(elf);
  return elf;
}

function locatePayload(bzImage: Uint8Array): Uint8Array {
  if (bzImage.length < HEADER_BYTES) throw unusable('it is too short to be a bzImage');
  const view = new DataView(bzImage.buffer, bzImage.byteOffset, bzImage.byteLength);
  const magic = Buffer.from(bzImage.subarray(HEADER_MAGIC_OFFSET, HEADER_MAGIC_OFFSET + 4)).toString(
    'latin1',
  );
  if (magic !== 'HdrS') throw unusable('it has no boot header');
  if (view.getUint16(PROTOCOL_VERSION_OFFSET, true) < OLDEST_PROTOCOL_VERSION) {
    throw unusable('its boot protocol is older than 2.08');
  }
  // "If the setup_sects field contains 0, the real value is 4."
  const setupSectors = view.getUint8(SETUP_SECTORS_OFFSET) || 4;
  const protectedModeOffset = (setupSectors + 1) * SECTOR_BYTES;
  const start = protectedModeOffset + view.getUint32(PAYLOAD_OFFSET_OFFSET, true);
  const length = view.getUint32(PAYLOAD_LENGTH_OFFSET, true);
  if (length <= SIZE_TRAILER_BYTES || start + length > bzImage.length)
    throw unusable('its payload is cut off');
  return bzImage.subarray(start, start + length);
}

function decompress(payload: Uint8Array): Uint8Array {
  const magic = Buffer.from(payload.subarray(0, 4)).toString('hex');
  if (magic.startsWith('1f8b')) return gunzipSync(payload, { maxOutputLength: MAX_KERNEL_BYTES });
  if (magic === '02214c18') return decompressLz4(payload);
  if (magic === '7f454c46') return payload;
  const name = COMPRESSIONS.find(([prefix]) => magic.startsWith(prefix))?.[1] ?? `unknown (${magic})`;
  throw unusable(`its compression is ${name}; only LZ4, gzip and none are supported`);
}

const COMPRESSIONS: readonly (readonly [string, string])[] = [
  ['fd377a58', 'xz'],
  ['28b52ffd', 'zstd'],
  ['425a68', 'bzip2'],
  ['5d0000', 'LZMA'],
  ['894c5a4f', 'LZO'],
];

function decompressLz4(payload: Uint8Array): Uint8Array {
  const end = payload.length - SIZE_TRAILER_BYTES;
  const elf = decompressLegacyFrame(payload.subarray(0, end), MAX_KERNEL_BYTES);
  const expected = new DataView(payload.buffer, payload.byteOffset + end, SIZE_TRAILER_BYTES).getUint32(
    0,
    true,
  );
  if (elf.length !== expected) {
    throw unusable(`it decompresses to ${elf.length} bytes where ${expected} were announced`);
  }
  return elf;
}

/** Checks that it is an x86-64 ELF executable (System V ABI, "ELF Header"). */
function assertElf(elf: Uint8Array): void {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  const isElf = elf.length >= 64 && view.getUint32(0, false) === 0x7f454c46;
  if (!isElf || view.getUint8(4) !== 2 || view.getUint16(16, true) !== 2 || view.getUint16(18, true) !== 62) {
    throw unusable('its payload is not an x86-64 ELF executable');
  }
}

function unusable(why: string): GlasshouseError {
  return new GlasshouseError('image_build_failed', `The kernel image cannot be used: ${why}.`);
}
