import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { REDACTION_MARK } from '../../src/receipts/redaction-marks.js';
import { textFromBytes, textToBytes } from '../../src/receipts/text.js';
import { KnownSecrets } from '../../src/redaction/known-secrets.js';
import { sampleRedactor } from './sample-redactor.js';

const redactor = sampleRedactor();
const LONG = 131_072;
const redact = (text: string): string => redactor.string(text, LONG);
const markOf = (secret: string): string => redactor.mark(Buffer.from(secret));

describe('Redactor', () => {
  it('gives equal secrets equal marks, wherever they stand', () => {
    const mark = markOf('s3cret-word');
    assert.match(mark, /^\[redacted:[0-9a-f]{32}\]$/);
    for (const [text, expected] of [
      ['--password=s3cret-word', `--password=${mark}`],
      ['{"token":"s3cret-word"}', `{"token":"${mark}"}`],
      ['https://me:s3cret-word@h/', `https://${markOf('me')}:${mark}@h/`],
      ['https://h/?sig=s3cret-word&x=1', `https://h/?sig=${mark}&x=1`],
      ['Authorization: Bearer s3cret-word', `Authorization: Bearer ${mark}`],
    ] as const)
      assert.equal(redact(text), expected);
  });

  it('gives other marks under another key, and another id of the key', () => {
    const other = sampleRedactor({}, 8);
    assert.notEqual(other.mark(Buffer.from('x')), markOf('x'));
    assert.notEqual(other.keyId, redactor.keyId);
    assert.match(redactor.keyId, /^[0-9a-f]{16}$/);
  });

  it('leaves alone what is no secret', () => {
    for (const text of [
      'PWD=/home/me',
      '--password-file=/run/secrets/x',
      '--no-password',
      'SSH_AUTH_SOCK=/tmp/agent.1',
      '--author=me',
      '--tokenizer=bert',
      'registry:5000/image@sha256:0f1e',
      'http://registry:5000/image@v1',
      'mkdir -p a/b',
      'a basic example',
      'ssh me@host',
      '--key=value',
      '-plugin-opt=-pass-through=-lgcc',
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      '01890a5d-ac96-774b-bcce-b302099a8057',
    ])
      assert.equal(redact(text), text);
  });

  it('replaces what looks like a mark: only the holder of the key can make one', () => {
    const forged = `[redacted:${'0'.repeat(32)}]`;
    assert.equal(redact(`a ${forged} b`), `a ${markOf(forged)} b`);
  });

  it('replaces a text as a whole when it would not fit, or has very many secrets', () => {
    assert.equal(redactor.string('pwd=a', 20), markOf('pwd=a'));
    const many = Array.from({ length: 65 }, (_, index) => `pwd=${index}`).join(' ');
    assert.equal(redact(many), markOf(many));
  });

  it('finds secrets between bytes that are not UTF-8, and gives them the same mark', () => {
    const bytes = Buffer.concat([Buffer.from([0xff]), Buffer.from(' password=wörd-1 '), Buffer.from([0xfe])]);
    const redacted = Buffer.from(textToBytes(redactor.text(textFromBytes(bytes), LONG, new KnownSecrets())));
    assert.ok(redacted.includes(markOf('wörd-1')));
    assert.ok(!redacted.includes('wörd-1'));
    assert.deepEqual([redacted[0], redacted.at(-1)], [0xff, 0xfe]);
  });

  it('never leaves a named secret behind, whatever stands around it', () => {
    const around = fc.string({ unit: 'grapheme', maxLength: 40 });
    fc.assert(
      fc.property(around, around, fc.stringMatching(/^[A-Za-z0-9]{12,20}$/), (before, after, secret) => {
        fc.pre(!before.includes(secret) && !after.includes(secret));
        const known = new KnownSecrets();
        known.add(secret);
        assert.ok(!redactor.string(`${before}${secret}${after}`, LONG, known).includes(secret));
        assert.ok(!redact(`${before}\n--token=${secret} ${after}`).includes(secret));
      }),
    );
  });

  it('makes the same of any text each time, and loses nothing but secrets', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const redacted = redact(text);
        assert.equal(redact(text), redacted);
        assert.equal(REDACTION_MARK.test(redacted), redacted !== text);
      }),
    );
  });

  it('does not take long over texts that were made to be slow', { timeout: 60_000 }, () => {
    for (const unit of [
      'a=',
      'token=',
      '://a',
      '://a:b',
      '"',
      "'",
      '\\',
      '-',
      'eyJ-',
      ' -p',
      'bearer ',
      '-----BEGIN PRIVATE KEY-----',
      '\\"password\\":\\"',
      '{"a":',
      '_',
      'a_',
      'a.',
      '\\a',
      '\\"',
    ])
      for (const before of [
        '',
        'password=\\"',
        'password="',
        "password='",
        'password=',
        'Cookie: ',
        'a://u:',
      ])
        redact(before + unit.repeat(Math.floor((LONG - before.length) / unit.length)));
  });
});
