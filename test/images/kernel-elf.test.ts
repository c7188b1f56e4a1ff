import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';

import { extractKernelElf } from '../../src/images/kernel-elf.js';

const ELF = elfHeader();

describe('extractKernelElf', () => {
  it('takes out an LZ4 payload', () => {
    assert.deepEqual(Buffer.from(extractKernelElf(bzImage(lz4Payload(ELF, ELF.length)))), ELF);
  });

  it('takes out a gzip payload and one that is not compressed', () => {
    assert.deepEqual(Buffer.from(extractKernelElf(bzImage(gzipSync(ELF)))), ELF);
    assert.deepEqual(Buffer.from(extractKernelElf(bzImage(ELF))), ELF);
  });

  it('reads 0 setup sectors as 4', () => {
    assert.deepEqual(Buffer.from(extractKernelElf(bzImage(ELF, 4, 0))), ELF);
  });

  it('names a compression that it does not support', () => {
    assertRefused(bzImage(Buffer.from('fd377a585a000004e6d6', 'hex')), /compression is xz/);
    assertRefused(bzImage(Buffer.from('28b52ffd000000000000', 'hex')), /compression is zstd/);
    assertRefused(bzImage(Buffer.from('0102030405', 'hex')), /unknown \(01020304\)/);
  });

  it('refuses a payload of another size than announced', () => {
    assertRefused(bzImage(lz4Payload(ELF, ELF.length + 1)), /announced/);
  });

  it('refuses a payload that is not an x86-64 executable', () => {
    const object = Buffer.from(ELF);
    object.writeUInt16LE(1, 16);
    assertRefused(bzImage(object), /not an x86-64 ELF executable/);
    assertRefused(bzImage(gzipSync('short')), /not an x86-64 ELF executable/);
  });

  it('refuses what is not a bzImage', () => {
    assertRefused(Buffer.alloc(10), /too short/);
    assertRefused(Buffer.alloc(4096), /no boot header/);
  });

  it('refuses a payload that reaches beyond the file', () => {
    const image = bzImage(ELF);
    assertRefused(image.subarray(0, image.length - 1), /cut off/);
  });
});

function assertRefused(image: Uint8Array, message: RegExp): void {
  assert.throws(() => extractKernelElf(image), { code: 'image_build_failed', message });
}

function bzImage(payload: Uint8Array, setupSectors = 7, writtenSetupSectors = setupSectors): Buffer {
  const payloadOffset = 0x40;
  const start = (setupSectors + 1) * 512 + payloadOffset;
  const image = Buffer.alloc(start + payload.length);
  image.writeUInt8(writtenSetupSectors, 0x1f1);
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt16LE(0x020f, 0x206);
  image.writeUInt32LE(payloadOffset, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  image.set(payload, start);
  return image;
}

/** A legacy frame of one block with literals only, and the size that the kernel's build appends. */
function lz4Payload(content: Buffer, announcedBytes: number): Buffer {
  const block = Buffer.concat([Buffer.of(0xf0, content.length - 15), content]);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184c2102, 0);
  head.writeUInt32LE(block.length, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(announcedBytes);
  return Buffer.concat([head, block, tail]);
}

function elfHeader(): Buffer {
  const header = Buffer.alloc(64);
  header.write('7f454c460201', 'hex');
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(62, 18);
  return header;
}
