import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';

import { encodeBase64 } from '../../src/receipts/base64.js';
import { encodeLogEntry } from '../../src/receipts/log-entry.js';
import {
  encodeEntryBundle,
  encodeTilePath,
  hasTile,
  readTile,
  TILE_WIDTH,
  type TilePath,
} from '../../src/receipts/log-tiles.js';
import { consistencyProof } from '../../src/receipts/merkle-tree.js';
import { LOG_SIGNER, MemoryLog } from './sample-log.js';

/** Where Debian's golang-golang-x-mod-dev has the sources. */
const SOURCES = '/usr/share/gocode';
const PROGRAM = 'test/fixtures/receipts/go/main.go';
const BUILD = resolve('build', 'go-sumdb');

function missing(): string | false {
  if (!existsSync(join(SOURCES, 'src/golang.org/x/mod/sumdb/tlog')))
    return 'not installed: golang-golang-x-mod-dev';
  return spawnSync('go', ['version']).error !== undefined && 'not installed: golang-go';
}

/** Compiles the checker; Go's own cache makes that quick the second time. */
function compile(): string {
  mkdirSync(BUILD, { recursive: true });
  const checker = join(BUILD, 'check');
  const settings = {
    GO111MODULE: 'off',
    GOPATH: SOURCES,
    GOCACHE: join(BUILD, 'cache'),
    GOFLAGS: '',
    CGO_ENABLED: '0',
  };
  const built = spawnSync('go', ['build', '-o', checker, PROGRAM], {
    encoding: 'utf8',
    env: { ...process.env, ...settings },
  });
  assert.equal(built.status, 0, built.stderr);
  return checker;
}

type Question = Readonly<Record<string, unknown>> & { readonly Name: string };

/** What Go says to each question, by its name. */
function ask(checker: string, questions: readonly Question[]): Map<string, string> {
  const ran = spawnSync(checker, { input: JSON.stringify(questions), encoding: 'utf8', maxBuffer: 1 << 26 });
  assert.equal(ran.status, 0, ran.stderr);
  const answers = ran.stdout
    .trim()
    .split('\n')
    .map((line) => line.split(': ', 2) as [string, string]);
  assert.equal(answers.length, questions.length);
  return new Map(answers);
}

function tilesOf(log: MemoryLog): Record<string, string> {
  const tiles: Record<string, string> = {};
  const addLevel = (level: TilePath['level'], unit: number, read: (tile: TilePath) => Uint8Array): void => {
    const count = Math.floor(log.size / unit);
    for (let index = 0; index * TILE_WIDTH < count; index += 1) {
      const tile = { level, index, width: Math.min(TILE_WIDTH, count - index * TILE_WIDTH) };
      assert.ok(hasTile(log.size, tile));
      tiles[encodeTilePath(tile)] = encodeBase64(read(tile));
    }
  };
  addLevel('entries', 1, ({ index, width }) =>
    encodeEntryBundle(log.entries.slice(index * TILE_WIDTH, index * TILE_WIDTH + width).map(encodeLogEntry)),
  );
  for (const level of [0, 1, 2]) addLevel(level, 256 ** level, (tile) => readTile(level, tile, log.read));
  return tiles;
}

describe("Go's sumdb/note and sumdb/tlog, which know nothing of us", { skip: missing() }, () => {
  const log = new MemoryLog().fill(700);
  const sizes = [1, 2, 3, 7, 8, 255, 256, 257, 511, 699, 700];
  const head = (size = log.size): { Vkey: string; Checkpoint: string } => ({
    Vkey: LOG_SIGNER.vkey,
    Checkpoint: log.checkpoint(size),
  });
  const flipped = (hashes: readonly Uint8Array[]): string[] =>
    hashes.map((hash, at) =>
      encodeBase64(at === 0 ? hash.map((byte, place) => (place === 5 ? byte ^ 1 : byte)) : hash),
    );

  it('accept checkpoints, inclusion, consistency and tiles, and refuse what was changed', () => {
    const accepted: Question[] = [{ Name: 'note', Kind: 'note', ...head() }];
    const refused: Question[] = [
      {
        Name: 'edited note',
        Kind: 'note',
        Vkey: LOG_SIGNER.vkey,
        Checkpoint: log.checkpoint().replace('\n700\n', '\n701\n'),
      },
    ];
    for (const size of sizes) {
      for (const index of new Set([0, Math.floor(size / 2), size - 1])) {
        const { entry, proof } = log.prove(index, size);
        const question = {
          Kind: 'inclusion',
          ...head(size),
          Leaf: Buffer.from(encodeLogEntry(entry)).toString(),
          Index: index,
        };
        accepted.push({ ...question, Name: `entry ${index} of ${size}`, Proof: proof.map(encodeBase64) });
        refused.push({
          ...question,
          Name: `other leaf ${index} of ${size}`,
          Leaf: '{}',
          Proof: proof.map(encodeBase64),
        });
        if (proof.length > 0)
          refused.push({ ...question, Name: `edited path ${index} of ${size}`, Proof: flipped(proof) });
      }
      const proof = consistencyProof(size, log.size, log.read);
      const question = {
        Kind: 'consistency',
        ...head(),
        OldSize: size,
        OldRoot: encodeBase64(log.root(size)),
      };
      accepted.push({ ...question, Name: `growth from ${size}`, Proof: proof.map(encodeBase64) });
      refused.push({
        ...question,
        Name: `other root ${size}`,
        OldRoot: encodeBase64(log.root(5)),
        Proof: proof.map(encodeBase64),
      });
      if (proof.length > 0)
        refused.push({ ...question, Name: `edited growth from ${size}`, Proof: flipped(proof) });
    }
    const tiles = tilesOf(log);
    accepted.push({ Name: 'tiles', Kind: 'tree', ...head(), Tiles: tiles });
    const entries = 'entries/001';
    const edited = Buffer.from(tiles[entries] ?? '', 'base64')
      .toString('latin1')
      .replace('"index":300', '"index":301');
    refused.push({
      Name: 'edited entries',
      Kind: 'tree',
      ...head(),
      Tiles: { ...tiles, [entries]: Buffer.from(edited, 'latin1').toString('base64') },
    });
    refused.push({
      Name: 'a swapped tile',
      Kind: 'tree',
      ...head(),
      Tiles: { ...tiles, '0/000': tiles['0/001'] },
    });

    const answers = ask(compile(), [...accepted, ...refused]);
    for (const { Name } of accepted) assert.equal(answers.get(Name), 'ok', Name);
    for (const { Name } of refused) assert.notEqual(answers.get(Name) ?? 'ok', 'ok', Name);
    assert.ok(accepted.length > 40 && refused.length > 60);
  });
});
