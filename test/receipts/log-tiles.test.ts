import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import {
  encodeTilePath,
  hasTile,
  parseTilePath,
  readTile,
  type TilePath,
} from '../../src/receipts/log-tiles.js';
import { hashChildren } from '../../src/receipts/merkle.js';
import { MemoryLog } from './sample-log.js';

const tilePath: fc.Arbitrary<TilePath> = fc.record({
  level: fc.oneof(fc.integer({ min: 0, max: 63 }), fc.constant('entries' as const)),
  index: fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.maxSafeNat()),
  width: fc.integer({ min: 1, max: 256 }),
});

describe('the path of a tile', () => {
  it('is that of the specification', () => {
    assert.deepEqual(parseTilePath('0/x001/x234/067'), { level: 0, index: 1_234_067, width: 256 });
    assert.deepEqual(parseTilePath('1/000.p/17'), { level: 1, index: 0, width: 17 });
    assert.deepEqual(parseTilePath('entries/273.p/112'), { level: 'entries', index: 273, width: 112 });
    assert.equal(encodeTilePath({ level: 0, index: 1_234_067, width: 256 }), '0/x001/x234/067');
    assert.deepEqual(parseTilePath('63/000'), { level: 63, index: 0, width: 256 });
  });

  it('is read back as it was written', () => {
    fc.assert(
      fc.property(tilePath, (path) => {
        assert.deepEqual(parseTilePath(encodeTilePath(path)), { ...path });
      }),
    );
  });

  it('has one form only', () => {
    const refused = [
      '',
      '0',
      '0/',
      '0/0',
      '0/00',
      '0/0000',
      '00/000',
      '01/000',
      '64/000',
      '-1/000',
      '+1/000',
      '1e1/000',
      '0/x000/000',
      '0/x001/234/067',
      '0/001/234',
      '0/x001',
      '0/x001/x234',
      '0/x001//234',
      '0//000',
      '/0/000',
      '0/000/',
      '0/000.p',
      '0/000.p/',
      '0/000.p/0',
      '0/000.p/01',
      '0/000.p/256',
      '0/000.p/257',
      '0/000.p/1/',
      '0/000.p/-1',
      '0/000.P/1',
      '0/000.p/1 ',
      ' 0/000',
      '0/000?',
      '0/000#',
      '0/../000',
      '0/%30%30%30',
      '0/0%300',
      '0/٠٠٠',
      'entries',
      'entries/',
      'entries/0',
      'Entries/000',
      'data/000',
      '0/000\n',
      '0/000\0',
      '0/x999/x999/x999/x999/x999/x999/999',
      '0/x999/x999/x999/x999/x999/999',
    ];
    for (const path of refused) assert.equal(parseTilePath(path), null, JSON.stringify(path));
  });

  it('is refused or of one form, whatever it is', () => {
    const almost = fc.string({
      unit: fc.constantFrom(...'0 1 2 3 4 5 6 7 8 9 x / . p e n t r i s % ? - +'.split(' ')),
      maxLength: 24,
    });
    fc.assert(
      fc.property(fc.oneof(almost, fc.string()), (path) => {
        const tile = parseTilePath(path);
        assert.ok(tile === null || encodeTilePath(tile) === path);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('tiles of a log', () => {
  it('are those of the example in the specification: 70,000 entries', () => {
    const has = (path: string): boolean => {
      const tile = parseTilePath(path);
      assert.ok(tile !== null);
      return hasTile(70_000, tile);
    };
    for (const path of [
      '0/000',
      '0/272',
      '0/273.p/112',
      '1/000',
      '1/001.p/17',
      '2/000.p/1',
      'entries/273.p/112',
    ])
      assert.ok(has(path), path);
    for (const path of [
      '0/273',
      '0/273.p/113',
      '1/001',
      '1/001.p/18',
      '2/000',
      '2/000.p/2',
      '3/000.p/1',
      '63/000.p/1',
    ])
      assert.ok(!has(path), path);
  });

  it('of level 1 are the roots of full tiles of level 0', () => {
    const log = new MemoryLog().fill(600);
    const leaves = readTile(0, { level: 0, index: 1, width: 256 }, log.read);
    let hashes = Array.from({ length: 256 }, (_, at) => leaves.subarray(32 * at, 32 * (at + 1)));
    while (hashes.length > 1)
      hashes = hashes.flatMap((hash, at) =>
        at % 2 === 0 ? [hashChildren(hash, hashes[at + 1] ?? hash)] : [],
      );
    const above = readTile(1, { level: 1, index: 0, width: 2 }, log.read);
    assert.deepEqual(Buffer.from(above.subarray(32)), Buffer.from(hashes[0] ?? []));
  });
});
