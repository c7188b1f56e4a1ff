import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type ImageManifest, formatManifest, parseManifest } from '../../src/images/manifest.js';

const DIGEST = '0123456789abcdef'.repeat(4);
const MANIFEST: ImageManifest = {
  suite: 'bookworm',
  architecture: 'amd64',
  kernelRelease: '6.1.0-1-cloud-amd64',
  created: '2026-01-02T03:04:05.000Z',
  recipeSha256: DIGEST,
  guestInitSha256: DIGEST,
  packages: { 'libstdc++6': '12.2.0-14', python3: '3.11.2-1+b1', tar: '1:1.34~rc1' },
  parts: {
    kernel: { file: 'kernel-1.elf', sizeBytes: 1, sha256: DIGEST },
    initramfs: { file: 'initramfs-1.cpio', sizeBytes: 0, sha256: DIGEST },
    root: { file: 'root-1.ext4', sizeBytes: 2 ** 40, sha256: DIGEST },
  },
};

describe('parseManifest', () => {
  it('gives back what formatManifest wrote', () => {
    assert.deepEqual(parseManifest(formatManifest(MANIFEST)), MANIFEST);
  });

  it('refuses a manifest without any one of its fields', () => {
    for (const path of fieldPaths(asJson())) {
      const damaged = asJson();
      edit(damaged, path, (parent, name) => {
        Reflect.deleteProperty(parent, name);
      });
      assertRefused(damaged, path.join('.'));
    }
  });

  it('refuses a field of another type', () => {
    for (const path of fieldPaths(asJson())) {
      for (const value of [null, true, [], -1, 0.5]) {
        const damaged = asJson();
        edit(damaged, path, (parent, name) => {
          parent[name] = value;
        });
        assertRefused(damaged, `${path.join('.')} = ${JSON.stringify(value)}`);
      }
    }
  });

  it('refuses an unknown field, wherever it is', () => {
    for (const path of [['surprise'], ['parts', 'surprise'], ['parts', 'root', 'surprise']]) {
      const damaged = asJson();
      edit(damaged, path, (parent, name) => {
        parent[name] = 1;
      });
      assertRefused(damaged, path.join('.'));
    }
  });

  const values: readonly (readonly [readonly string[], unknown])[] = [
    [['format_version'], 2],
    [['architecture'], 'arm64'],
    [['suite'], '../x'],
    [['created'], '2026-01-02'],
    [['parts', 'root', 'file'], '../root.ext4'],
    [['parts', 'root', 'file'], '.hidden'],
    [['parts', 'root', 'size'], 2 ** 60],
    [['parts', 'root', 'sha256'], DIGEST.toUpperCase()],
    [['packages', 'Tar'], '1'],
    [['packages', 'tar'], '1\n2'],
  ];
  for (const [path, value] of values) {
    it(`refuses ${path.join('.')} = ${JSON.stringify(value)}`, () => {
      const damaged = asJson();
      edit(damaged, path, (parent, name) => {
        parent[name] = value;
      });
      assertRefused(damaged, path.join('.'));
    });
  }

  it('refuses what is not a JSON object', () => {
    for (const text of ['', '{', '[]', 'null', '1']) {
      assert.throws(() => parseManifest(text), { code: 'image_corrupt' });
    }
  });
});

type Json = Record<string, unknown>;

function asJson(): Json {
  return JSON.parse(formatManifest(MANIFEST)) as Json;
}

/** Every field that has to be there; packages are free. */
function fieldPaths(json: Json, prefix: readonly string[] = []): readonly (readonly string[])[] {
  return Object.entries(json).flatMap(([name, value]) => {
    const path = [...prefix, name];
    if (typeof value !== 'object' || value === null || name === 'packages') return [path];
    return [path, ...fieldPaths(value as Json, path)];
  });
}

function edit(json: Json, path: readonly string[], change: (parent: Json, name: string) => void): void {
  const [name = '', ...rest] = path;
  if (rest.length === 0) change(json, name);
  else edit(json[name] as Json, rest, change);
}

function assertRefused(json: Json, what: string): void {
  assert.throws(() => parseManifest(JSON.stringify(json)), { code: 'image_corrupt' }, what);
}
