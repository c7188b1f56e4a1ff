import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import {
  assertSafeJailer,
  assertSupported,
  overridesVsock,
  parseVersion,
  type ProgramVersion,
} from '../../../src/backends/firecracker/versions.js';

function version(text: string): ProgramVersion {
  const parsed = parseVersion('Firecracker', `Firecracker v${text}\n\nmore`);
  assert.ok(parsed !== null, text);
  return parsed;
}

describe('the version of Firecracker', () => {
  it('is read from the first line of --version', () => {
    assert.deepEqual(version('1.16.1'), { major: 1, minor: 16, patch: 1, text: '1.16.1' });
    assert.equal(version('1.15.0-dev').text, '1.15.0-dev');
  });

  it('is none when another program answers', () => {
    for (const output of [
      '',
      'QEMU emulator version 7.2.0',
      'Jailer v1.16.1',
      'Firecracker v1.16',
      'Firecracker v1.16.1 x',
    ])
      assert.equal(parseVersion('Firecracker', output), null, output);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (output) => {
        const parsed = parseVersion('Firecracker', output);
        assert.ok(parsed === null || output.startsWith('Firecracker v'));
      }),
    );
  });

  it('is supported from 1.14 to 1.16', () => {
    for (const text of ['1.14.0', '1.14.4', '1.15.1', '1.16.1']) assertSupported(version(text));
  });

  it('decides whether a clone may be told where its vsock is', () => {
    const able = ['1.14.4', '1.15.1', '1.16.0', '1.16.1'].filter((text) => overridesVsock(version(text)));
    assert.deepEqual(able, ['1.16.0', '1.16.1']);
  });

  it('is refused before and after, with what to do', () => {
    for (const text of ['0.25.2', '1.13.2', '1.17.0', '2.0.0', '2.15.0'])
      assert.throws(
        () => {
          assertSupported(version(text));
        },
        { code: 'backend_unavailable', message: /1\.14 to 1\.16 are\. Run "glasshouse setup firecracker"/ },
      );
  });
});

describe('the version of the jailer', () => {
  it('is refused where it follows symbolic links', () => {
    for (const text of ['0.25.2', '1.12.9', '1.13.1', '1.14.0'])
      assert.throws(
        () => {
          assertSafeJailer(version(text), version(text));
        },
        { code: 'backend_unavailable', message: /symbolic links/ },
      );
    for (const text of ['1.13.2', '1.14.1', '1.15.0', '1.16.1'])
      assertSafeJailer(version(text), version(text));
  });

  it('must be that of Firecracker', () => {
    assert.throws(
      () => {
        assertSafeJailer(version('1.15.1'), version('1.16.1'));
      },
      { code: 'backend_unavailable', message: /does not belong to Firecracker 1\.16\.1/ },
    );
  });
});
