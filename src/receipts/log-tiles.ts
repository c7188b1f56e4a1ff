/** The resources under which a log is published: https://c2sp.org/tlog-tiles */
import { type ReadHash } from './merkle-tree.js';
import { HASH_BYTES } from './merkle.js';

/** Hashes of a full tile, entries of a full bundle. */
export const TILE_WIDTH = 256;
const TILE_HEIGHT = 8;
const MAX_LEVEL = 63;

export interface TilePath {
  /** `entries`: the leaves themselves. */
  readonly level: number | 'entries';
  /** Place within its level. */
  readonly index: number;
  /** 1 to 256; less than 256 for a partial tile. */
  readonly width: number;
}

const PATH = /^(entries|0|[1-9][0-9]?)((?:\/x[0-9]{3}){0,5}\/[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;

/** What comes after `tile/`: `<L>/<N>[.p/<W>]`. Null for anything that is not written exactly so. */
export function parseTilePath(path: string): TilePath | null {
  const [, levelText, indexText = '', widthText] = PATH.exec(path) ?? [];
  if (levelText === undefined) return null;
  const level = levelText === 'entries' ? 'entries' : Number(levelText);
  const index = Number(indexText.replaceAll(/[/x]/g, ''));
  const width = widthText === undefined ? TILE_WIDTH : Number(widthText);
  const tile: TilePath = { level, index, width };
  const isPartial = widthText !== undefined;
  const inBounds =
    Number.isSafeInteger(index) &&
    (level === 'entries' || level <= MAX_LEVEL) &&
    (!isPartial || width < TILE_WIDTH);
  // An index has one form only: no more elements than it needs.
  return inBounds && encodeTilePath(tile) === path ? tile : null;
}

export function encodeTilePath({ level, index, width }: TilePath): string {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g) ?? [];
  const elements = groups.map((group, place) => (place < groups.length - 1 ? `x${group}` : group));
  return `${level}/${elements.join('/')}${width < TILE_WIDTH ? `.p/${width}` : ''}`;
}

/** Whether a tree of `size` leaves has all of the tile. */
export function hasTile(size: number, { level, index, width }: TilePath): boolean {
  const leavesOfEach = level === 'entries' ? 1 : 2 ** (TILE_HEIGHT * level);
  return (index * TILE_WIDTH + width) * leavesOfEach <= size;
}

/** The hashes of a tile that the tree has, one after the other. */
export function readTile(level: number, { index, width }: TilePath, read: ReadHash): Uint8Array {
  const bytes = new Uint8Array(width * HASH_BYTES);
  for (let offset = 0; offset < width; offset += 1)
    bytes.set(read(level * TILE_HEIGHT, index * TILE_WIDTH + offset), offset * HASH_BYTES);
  return bytes;
}

/** An entry bundle: each entry with its length before it, big-endian uint16. */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(entries.reduce((sum, entry) => sum + 2 + entry.length, 0));
  let position = 0;
  for (const entry of entries) {
    new DataView(bytes.buffer).setUint16(position, entry.length);
    bytes.set(entry, position + 2);
    position += 2 + entry.length;
  }
  return bytes;
}
