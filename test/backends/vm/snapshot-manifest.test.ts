import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import {
  formatSnapshotManifest,
  parseSnapshotManifest,
  type SnapshotManifest,
} from '../../../src/backends/vm/snapshot-manifest.js';
import { GlasshouseError } from '../../../src/base/errors.js';

const isCorrupt = (error: unknown): boolean =>
  error instanceof GlasshouseError && error.code === 'snapshot_corrupt';

const MANIFEST: SnapshotManifest = {
  key: 'd'.repeat(64),
  created: '2026-01-02T03:04:05.678Z',
  profile: { memoryMb: 128, cpus: 1, diskMb: 64 },
  link: { sent: 33, received: 5 },
  memoryBytes: 224 * 1024 * 1024,
  digests: { memory: 'a'.repeat(64), state: 'b'.repeat(64), workspace: 'c'.repeat(64) },
};

describe('the manifest of a snapshot', () => {
  it('comes back as it was written', () => {
    assert.deepEqual(parseSnapshotManifest(formatSnapshotManifest(MANIFEST)), MANIFEST);
  });

  it('is damaged when any of its characters is another one', () => {
    const text = formatSnapshotManifest(MANIFEST);
    for (let index = 0; index < text.length; index += 1) {
      const old = text[index] ?? '';
      // White space between two members says nothing.
      if (/\s/.test(old)) continue;
      const other = /\d/.test(old) ? String((Number(old) + 1) % 10) : old === 'x' ? 'y' : 'x';
      const damaged = text.slice(0, index) + other + text.slice(index + 1);
      assert.throws(() => parseSnapshotManifest(damaged), isCorrupt, `character ${index}`);
    }
  });

  it('is damaged when it is cut off anywhere', () => {
    const text = formatSnapshotManifest(MANIFEST);
    for (let length = 0; length < text.trimEnd().length; length += 1)
      assert.throws(() => parseSnapshotManifest(text.slice(0, length)), isCorrupt, `${length} characters`);
  });

  for (const text of ['', 'null', '[]', '{}', '"x"', '{"format_version":1}', '\0'.repeat(100)]) {
    it(`is not ${JSON.stringify(text.slice(0, 30))}`, () => {
      assert.throws(() => parseSnapshotManifest(text), isCorrupt);
    });
  }

  it('has nothing but whole numbers that are not negative', () => {
    for (const changes of [
      { memoryBytes: -1 },
      { memoryBytes: 0.5 },
      { profile: { ...MANIFEST.profile, cpus: Number.NaN } },
      { link: { ...MANIFEST.link, sent: Number.MAX_SAFE_INTEGER + 1 } },
      { created: 'yesterday' },
      { key: 'firecracker' },
      { digests: { ...MANIFEST.digests, state: 'B'.repeat(64) } },
    ])
      assert.throws(
        () => parseSnapshotManifest(formatSnapshotManifest({ ...MANIFEST, ...changes })),
        isCorrupt,
      );
  });

  it('made of any JSON is corrupt, and nothing else happens', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        assert.throws(() => parseSnapshotManifest(text), isCorrupt);
      }),
    );
  });
});
