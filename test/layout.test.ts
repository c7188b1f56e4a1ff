import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { importsOf, readSourceFiles, REPOSITORY, type SourceFile } from './source-imports.js';

/** The list of the house: imports point down only. */
const ROOMS = [
  'main.ts',
  'index.ts',
  'cli',
  'server',
  'engine',
  'backends',
  'guest-link',
  'images',
  'profilers',
  'redaction',
  'receipts',
  'config',
  'base',
] as const;

const CONCRETE_BACKENDS = ['process', 'qemu', 'firecracker'];
/** What all virtual machines share: for backends to build on and for main.ts to compose. */
const SHARED_BY_BACKENDS = 'vm';
const STARTS_PROGRAMS = ['node:child_process', 'node:cluster', 'node:worker_threads'];
/** The files of receipts/ that do more than compute: they keep what is signed, and the key. */
const KEEPERS = /^receipts\/(store|key-ring)[a-z-]*\.ts$/;

const LONGEST_FILE_LINES = 400;
const LONGEST_MEDIAN_LINES = 150;

const files = readSourceFiles();

describe('the house', () => {
  it('has no room that is not on the list', () => {
    const rooms = new Set(files.map(({ path }) => roomOf(path)));
    assert.deepEqual(
      [...rooms].filter((room) => !rankOf(room)),
      [],
    );
  });

  it('imports downwards only', () => {
    const upwards = edges().filter(({ from, to }) => (rankOf(roomOf(to)) ?? 0) < (rankOf(roomOf(from)) ?? 0));
    assert.deepEqual(upwards.map(describeEdge), []);
  });

  it('imports nothing that does not exist', () => {
    const known = new Set(files.map(({ path }) => path));
    assert.deepEqual(
      edges()
        .filter(({ to }) => !known.has(to))
        .map(describeEdge),
      [],
    );
  });

  it('names concrete backends in main.ts alone', () => {
    const named = edges().filter(({ from, to }) => {
      const backend = backendOf(to);
      return backend !== null && CONCRETE_BACKENDS.includes(backend) && backendOf(from) !== backend;
    });
    assert.deepEqual(named.filter(({ from }) => from !== 'main.ts').map(describeEdge), []);
    assert.ok(named.length > 0, 'main.ts is expected to name them');
  });

  it('uses what virtual machines share in backends and main.ts alone', () => {
    const uses = edges().filter(
      ({ from, to }) => backendOf(to) === SHARED_BY_BACKENDS && roomOf(from) !== 'backends',
    );
    assert.deepEqual(uses.filter(({ from }) => from !== 'main.ts').map(describeEdge), []);
  });

  it('asks no backend for its name above backends/', () => {
    const asking = files.filter(
      ({ path, text }) => roomOf(path) !== 'backends' && /\bbackend\.name\s*[!=]==/.test(text),
    );
    assert.deepEqual(
      asking.map(({ path }) => path),
      [],
    );
  });

  it('has no circle of imports', () => {
    assert.deepEqual(findCircle(files), null);
  });

  it('names modules of Node.js as node:...', () => {
    const bare = files.filter(({ text }) =>
      /from '(fs|path|os|crypto|child_process|util|net)['/]/.test(text),
    );
    assert.deepEqual(
      bare.map(({ path }) => path),
      [],
    );
  });
});

describe('receipts/', () => {
  const own = files.filter(({ path }) => roomOf(path) === 'receipts');

  it('reaches nothing that can start a program', () => {
    for (const file of own) {
      const reached = reachedFrom(file.path).flatMap(({ path, imports }) =>
        imports
          .filter(({ target, typesOnly }) => !typesOnly && STARTS_PROGRAMS.includes(target))
          .map(({ target }) => `${file.path} -> ${path} -> ${target}`),
      );
      assert.deepEqual(reached, []);
    }
  });

  it('has cryptography behind crypto.ts alone', () => {
    const users = own.filter(({ imports }) => imports.some(({ target }) => target === 'node:crypto'));
    assert.deepEqual(
      users.map(({ path }) => path),
      ['receipts/crypto.ts'],
    );
  });

  it('uses nothing else of Node.js or of packages where it computes', () => {
    const others = own
      .filter(({ path }) => !KEEPERS.test(path) && path !== 'receipts/crypto.ts')
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ target, typesOnly }) => !typesOnly && !target.endsWith('.ts'))
          .map(({ target }) => `${path} -> ${target}`),
      );
    assert.deepEqual(others, []);
  });
});

describe('source files', () => {
  const lengths = files.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }));

  it(`have at most ${LONGEST_FILE_LINES} lines each`, () => {
    assert.deepEqual(
      lengths.filter(({ lines }) => lines > LONGEST_FILE_LINES),
      [],
    );
  });

  it(`have fewer than ${LONGEST_MEDIAN_LINES} lines in the median`, () => {
    const sorted = lengths.map(({ lines }) => lines).sort((one, other) => one - other);
    assert.ok((sorted[Math.floor(sorted.length / 2)] ?? 0) < LONGEST_MEDIAN_LINES);
  });

  it('load nothing at run time of which they only name types', () => {
    const compiled = readdirSync(join(REPOSITORY, 'dist/src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.js'))
      .filter((name) => /^import \{\} from/m.test(readFileSync(join(REPOSITORY, 'dist/src', name), 'utf8')));
    assert.deepEqual(compiled, []);
  });
});

describe('the reader of imports', () => {
  it('tells what is left at run time from what is not', () => {
    const text = [
      "import { a, type B } from './both.js';",
      "import { type C } from '../types/inline.js';",
      "import type { D } from './types.js';",
      "import './effect.js';",
      "import * as all from 'fs';",
      "export { type E } from './exported-types.js';",
      "export * from './exported.js';",
      "const late = await import('./late.js');",
      "type F = import('./type-query.js').F;",
    ].join('\n');
    assert.deepEqual(
      importsOf('room/file.ts', text).map(({ target, typesOnly }) => [target, typesOnly]),
      [
        ['room/both.ts', false],
        ['types/inline.ts', true],
        ['room/types.ts', true],
        ['room/effect.ts', false],
        ['node:fs', false],
        ['room/exported-types.ts', true],
        ['room/exported.ts', false],
        ['room/late.ts', false],
        ['room/type-query.ts', true],
      ],
    );
  });

  it('finds a circle', () => {
    const file = (path: string, target: string): SourceFile => ({
      path,
      text: '',
      imports: [{ target, typesOnly: true }],
    });
    const circle = findCircle([file('a.ts', 'b.ts'), file('b.ts', 'c.ts'), file('c.ts', 'b.ts')]);
    assert.deepEqual(circle, ['b.ts', 'c.ts', 'b.ts']);
  });
});

interface Edge {
  readonly from: string;
  readonly to: string;
}

/** Between our own files, those for types included. */
function edges(): readonly Edge[] {
  return files.flatMap(({ path, imports }) =>
    imports.filter(({ target }) => target.endsWith('.ts')).map(({ target }) => ({ from: path, to: target })),
  );
}

function describeEdge({ from, to }: Edge): string {
  return `${from} -> ${to}`;
}

function roomOf(path: string): string {
  return path.split('/')[0] ?? '';
}

/** Null for a room that is not on the list; the top has 1. */
function rankOf(room: string): number | null {
  const index = ROOMS.findIndex((name) => name === room);
  return index === -1 ? null : index + 1;
}

/** `qemu` for backends/qemu/...; null for everything else, backends/backend.ts too. */
function backendOf(path: string): string | null {
  const [room, backend, ...rest] = path.split('/');
  return room === 'backends' && rest.length > 0 ? (backend ?? null) : null;
}

/** The file itself and all that it loads at run time, directly or not. */
function reachedFrom(start: string): readonly SourceFile[] {
  const reached = new Set<SourceFile>();
  const visit = (path: string): void => {
    const file = files.find((one) => one.path === path);
    if (file === undefined || reached.has(file)) return;
    reached.add(file);
    for (const { target, typesOnly } of file.imports) if (!typesOnly) visit(target);
  };
  visit(start);
  return [...reached];
}

/** The first circle, types included, as the paths along it; null when there is none. */
function findCircle(all: readonly SourceFile[]): readonly string[] | null {
  const byPath = new Map(all.map((file) => [file.path, file]));
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): readonly string[] | null => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    if (done.has(path)) return null;
    for (const { target } of byPath.get(path)?.imports ?? []) {
      const circle = visit(target, [...trail, path]);
      if (circle !== null) return circle;
    }
    done.add(path);
    return null;
  };
  for (const { path } of all) {
    const circle = visit(path, []);
    if (circle !== null) return circle;
  }
  return null;
}
