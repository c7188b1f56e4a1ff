import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import {
  type KernelModule,
  inLoadOrder,
  moduleNameOf,
  readKernelModule,
} from '../../src/images/kernel-modules.js';

describe('moduleNameOf', () => {
  it('names a module as the kernel does', () => {
    assert.equal(moduleNameOf('kernel/drivers/char/hw_random/virtio-rng.ko'), 'virtio_rng');
  });
});

describe('readKernelModule', () => {
  it('reads the dependencies', () => {
    const module = readKernelModule('a/virtio-x.ko', moduleFile('license=GPL\0depends=virtio,virtio-ring\0'));
    assert.equal(module.name, 'virtio_x');
    assert.deepEqual(module.dependencies, ['virtio', 'virtio_ring']);
  });

  it('reads that there are none', () => {
    assert.deepEqual(readKernelModule('x.ko', moduleFile('depends=\0')).dependencies, []);
  });

  it('refuses a file without that information', () => {
    const refused = { code: 'image_build_failed' };
    assert.throws(() => readKernelModule('x.ko', moduleFile('license=GPL\0')), refused);
    assert.throws(() => readKernelModule('x.ko', moduleFile('depends=\0').subarray(0, 100)), refused);
    assert.throws(() => readKernelModule('x.ko', moduleFile('depends=\0', '.other')), refused);
    assert.throws(() => readKernelModule('x.ko', Buffer.from('not ELF')), refused);
  });
});

describe('inLoadOrder', () => {
  const graph: Readonly<Record<string, readonly string[]>> = {
    ring: [],
    virtio: ['ring'],
    block: ['virtio', 'ring'],
    mmio: ['virtio', 'built_in'],
    one: ['other'],
    other: ['one'],
  };
  const find = (name: string): KernelModule | null => {
    const dependencies = graph[name];
    return dependencies === undefined ? null : { name, dependencies, content: new Uint8Array() };
  };
  const order = (...wanted: readonly string[]): readonly string[] =>
    inLoadOrder(wanted, find).map(({ name }) => name);

  it('puts every module behind what it depends on, once', () => {
    assert.deepEqual(order('block', 'mmio'), ['ring', 'virtio', 'block', 'mmio']);
  });

  it('keeps the order of those that do not depend on each other', () => {
    assert.deepEqual(order('ring', 'virtio', 'mmio', 'block'), ['ring', 'virtio', 'mmio', 'block']);
  });

  it('leaves out what is built in to the kernel', () => {
    assert.deepEqual(order('built_in'), []);
  });

  it('refuses a circle', () => {
    assert.throws(() => order('one'), { code: 'image_build_failed', message: /circle/ });
  });
});

/** An ELF file with the section and the table of section names, and nothing else. */
function moduleFile(information: string, sectionName = '.modinfo'): Buffer {
  const names = Buffer.from(`\0${sectionName}\0.shstrtab\0`);
  const content = Buffer.from(information);
  const tableOffset = 64 + content.length + names.length;
  const file = Buffer.alloc(tableOffset + 3 * 64);
  file.write('7f454c460201', 'hex');
  file.writeBigUInt64LE(BigInt(tableOffset), 40);
  file.writeUInt16LE(64, 58);
  file.writeUInt16LE(3, 60);
  file.writeUInt16LE(2, 62);
  file.set(content, 64);
  file.set(names, 64 + content.length);
  const section = (index: number, name: number, offset: number, length: number): void => {
    file.writeUInt32LE(name, tableOffset + index * 64);
    file.writeBigUInt64LE(BigInt(offset), tableOffset + index * 64 + 24);
    file.writeBigUInt64LE(BigInt(length), tableOffset + index * 64 + 32);
  };
  section(1, 1, 64, content.length);
  section(2, sectionName.length + 2, 64 + content.length, names.length);
  return file;
}
