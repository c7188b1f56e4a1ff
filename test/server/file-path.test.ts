import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { attachmentOf, decodePath, protectFilePath } from '../../src/server/file-path.js';

const percentEncode = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');

describe('the path of a file in a request target', () => {
  it('is decoded to the bytes that were encoded', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
        assert.deepEqual(new Uint8Array(decodePath(percentEncode(bytes))), bytes);
      }),
    );
  });

  it('may mix plain and encoded characters', () => {
    assert.equal(Buffer.from(decodePath('a/b%2Fc%20d')).toString(), 'a/b/c d');
  });

  it('is refused when a percent sign stands alone', () => {
    for (const path of ['%', 'a%2', '%zz', '%%41']) assert.throws(() => decodePath(path), /percent-encoded/u);
  });

  it('reaches the route unread', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9%/._~-]{0,30}$/u), (path) => {
        const target = protectFilePath(`/receipts/x/files/${path}`);
        assert.equal(decodeURIComponent(target), `/receipts/x/files/${path}`);
      }),
    );
  });

  it('is the only part of a request target that is touched', () => {
    for (const target of ['/', '/run', '/receipts/%41', '/receipts?before=%41', '*', ''])
      assert.equal(protectFilePath(target), target);
    assert.equal(protectFilePath('/receipts/x/files/%41?q=%41'), '/receipts/x/files/%2541?q=%41');
  });
});

describe('the name that a file is saved under', () => {
  it('is the last segment, in both forms of RFC 6266', () => {
    assert.equal(
      attachmentOf(Buffer.from('dir/naïve "x".txt')),
      `attachment; filename="na_ve _x_.txt"; filename*=UTF-8''na%C3%AFve%20%22x%22.txt`,
    );
  });

  it('never leaves the header, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
        assert.match(
          attachmentOf(bytes),
          /^attachment; filename="[A-Za-z0-9._ -]*"; filename\*=UTF-8''[A-Za-z0-9%._~!-]*$/u,
        );
      }),
    );
  });
});
