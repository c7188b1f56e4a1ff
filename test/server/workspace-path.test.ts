import assert from 'node:assert/strict';
import { posix } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { GlasshouseError } from '../../src/base/errors.js';
import { checkPathsTogether, checkWorkspacePath } from '../../src/server/workspace-path.js';

/** The error of a check, or null when it passes. */
function errorOf(check: () => void): GlasshouseError | null {
  try {
    check();
    return null;
  } catch (error) {
    assert.ok(error instanceof GlasshouseError);
    return error;
  }
}

const accepts = (path: string): boolean =>
  errorOf(() => {
    checkWorkspacePath(path, 'p');
  }) === null;
const conflict = (...paths: string[]): string | null =>
  errorOf(() => {
    checkPathsTogether(paths);
  })?.field ?? null;

describe('a path of an input file', () => {
  for (const path of [
    'a',
    'a/b/c',
    '.hidden',
    '..name',
    'na..me',
    'a b',
    'C:\\x',
    'ünï/🙂',
    '-rf',
    'a'.repeat(255),
  ]) {
    it(`may be ${JSON.stringify(path.slice(0, 20))}`, () => {
      assert.ok(accepts(path));
    });
  }

  for (const [what, path] of Object.entries({
    empty: '',
    absolute: '/etc/passwd',
    'the parent': '..',
    'below the parent': '../a',
    'leaving and coming back': 'a/../../workspace/b',
    'going up inside': 'a/../b',
    'the workspace itself': '.',
    'with a dot segment': 'a/./b',
    'with an empty segment': 'a//b',
    'ending in a slash': 'a/',
    'with NUL': 'a\0b',
    'with a line end': 'a\nb',
    'with an escape': 'a\u001b[2J',
    'with DEL': 'a\u007f',
    'with a C1 control': 'a\u009b',
    'with half a surrogate pair': 'a\ud800',
    'with a long segment': 'a'.repeat(256),
    'with a long segment in bytes': 'ü'.repeat(128),
    'longer than PATH_MAX': `${'a'.repeat(200)}/`.repeat(21),
    'too deep': `${'d/'.repeat(64)}a`,
  })) {
    it(`may not be ${what}`, () => {
      const error = errorOf(() => {
        checkWorkspacePath(path, 'files/3/path');
      });
      assert.equal(error?.code, 'invalid_request');
      assert.equal(error.field, 'files/3/path');
    });
  }

  it('stays inside the workspace, whatever is accepted', () => {
    const segment = fc.oneof(
      fc.constantFrom('..', '.', '', 'a', '...'),
      fc.string({ unit: 'binary', maxLength: 4 }),
    );
    const path = fc.array(segment, { maxLength: 6 }).map((segments) => segments.join('/'));
    fc.assert(
      fc.property(path, (candidate) => {
        if (!accepts(candidate)) return;
        assert.equal(posix.normalize(candidate), candidate);
        assert.ok(posix.join('/workspace', candidate).startsWith('/workspace/'));
      }),
    );
  });
});

describe('paths of one request', () => {
  it('may share directories and beginnings', () => {
    assert.equal(conflict('a/b', 'a/c', 'ab', 'a.b', 'a-', 'code.py2', 'x/code.py'), null);
  });

  it('may not be the same twice', () => {
    assert.equal(conflict('a', 'b', 'a'), 'files/2/path');
  });

  it('may not need one name for a file and a directory, in either order', () => {
    assert.equal(conflict('a', 'x', 'a/b'), 'files/2/path');
    assert.equal(conflict('a/b/c', 'a.txt', 'a'), 'files/2/path');
    assert.equal(conflict('a', 'a.txt', 'a-b', 'a/b'), 'files/3/path');
  });

  it('may not take the place of the program', () => {
    assert.equal(conflict('x', 'code.py'), 'files/1/path');
    assert.equal(conflict('code.py/x'), 'files/0/path');
  });

  it('conflict exactly when comparing each with each says so', () => {
    const path = fc
      .array(fc.constantFrom('a', 'b', 'a!', 'a.b', 'code.py'), { minLength: 1, maxLength: 3 })
      .map((segments) => segments.join('/'));
    fc.assert(
      fc.property(fc.array(path, { maxLength: 6 }), (paths) => {
        const all = ['code.py', ...paths];
        const clash = all.some((left, i) =>
          all.some((right, j) => i !== j && (left === right || right.startsWith(`${left}/`))),
        );
        assert.equal(conflict(...paths) !== null, clash);
      }),
    );
  });
});
