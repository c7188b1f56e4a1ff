import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { encodeUpdate, parseCheckpoint, parseUpdate } from '../../src/receipts/checkpoint.js';
import { generatePrivateKeyPem } from '../../src/receipts/crypto.js';
import { NoteSigner, NoteVerifier, parseNote } from '../../src/receipts/signed-note.js';
import { parseTrustedKeys } from '../../src/receipts/trusted-keys.js';
import { LOG_SIGNER, LOG_VERIFIER, MemoryLog } from './sample-log.js';
import { SIGNER, utf8 } from './sample.js';

const refused = { name: 'GlasshouseError', code: 'checkpoint_invalid' };
const invalidKey = { name: 'GlasshouseError', code: 'key_invalid' };

/** The example of https://c2sp.org/signed-note */
const VKEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';
const SIGNATURE =
  'Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=';
const NOTE = `This is an example message.\n\n\u2014 example.com/foo ${SIGNATURE}\n`;

describe('signed notes', () => {
  const verifier = NoteVerifier.parse(VKEY);

  it('verify as the example of the specification does', async () => {
    const note = parseNote(utf8(NOTE));
    assert.equal(note.text, 'This is an example message.\n');
    assert.equal(await verifier.verify(note), true);
    assert.equal(await verifier.verify(parseNote(utf8(NOTE.replace('example m', 'Example m')))), false);
  });

  it('ignore signatures of unknown keys, also under a known name, and refuse a wrong one of a known key', async () => {
    const unknown = `\u2014 example.com/foo ${Buffer.alloc(68, 7).toString('base64')}\n`;
    const cosignature = `\u2014 witness.example/w1 ${Buffer.alloc(76, 9).toString('base64')}\n`;
    assert.equal(await verifier.verify(parseNote(utf8(NOTE + unknown + cosignature))), true);
    const wrong = Buffer.from(SIGNATURE, 'base64');
    wrong[20] = 0;
    const broken = `\u2014 example.com/foo ${wrong.toString('base64')}\n`;
    assert.equal(await verifier.verify(parseNote(utf8(NOTE + broken))), false);
    assert.equal(await verifier.verify(parseNote(utf8(`text\n\n${unknown}`))), false);
  });

  it('are what their own signer makes', async () => {
    const signer = new NoteSigner(generatePrivateKeyPem(), () => 'example.com/log');
    const note = parseNote(utf8(signer.sign('a\n\nb\n')));
    assert.equal(note.text, 'a\n\nb\n');
    assert.equal(await NoteVerifier.parse(signer.vkey).verify(note), true);
    assert.equal(await LOG_VERIFIER.verify(note), false);
  });

  it('are refused when they are anything else', () => {
    const line = `\u2014 example.com/foo ${SIGNATURE}\n`;
    const malformed = [
      '',
      'text\n',
      'text\n\n',
      line,
      NOTE.trimEnd(),
      `${NOTE}\n`,
      `${NOTE}x`,
      `text\n\n${line.replace('\u2014', '-')}`,
      `text\n\n${line.replace(' ', '  ')}`,
      `text\n\n${line.replace('/foo ', '/foo+ ')}`,
      `text\n\n${line.replace('=\n', '\n')}`,
      `text\n\n${line.replace('\n', ' x\n')}`,
      `text\n\n\u2014 example.com/foo UwKQ\n`,
      `te\rxt\n\n${line}`,
      `te\0xt\n\n${line}`,
      `text\n\n${line.repeat(65)}`,
    ];
    for (const note of malformed) assert.throws(() => parseNote(utf8(note)), refused, JSON.stringify(note));
    assert.throws(
      () => parseNote(Buffer.concat([utf8('t\xff'.slice(0, 1)), Buffer.of(0xff), utf8(NOTE)])),
      refused,
    );
  });

  it('are refused or read, whatever they are', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.string().map((text) => utf8(`${text}${NOTE}`)),
        ),
        (bytes) => {
          try {
            assert.ok(parseNote(bytes).signatures.length > 0);
          } catch (thrown) {
            assert.equal((thrown as { code?: string }).code, 'checkpoint_invalid');
          }
        },
      ),
    );
  });
});

describe('verifier keys', () => {
  it('have one form', () => {
    assert.equal(NoteVerifier.parse(VKEY).keyHash, '530d903a');
    for (const vkey of [
      '',
      'example.com/foo',
      VKEY.replace('530d903a', '530d903b'),
      VKEY.replace('530d903a', '530D903A'),
      VKEY.replace('/foo', '/bar'),
      VKEY.replace('+Ae', '+Be'),
      VKEY.replace('+Ae', '+A e'),
      VKEY.slice(0, -4),
      `${VKEY}+`,
      `${VKEY} `,
    ])
      assert.throws(() => NoteVerifier.parse(vkey), invalidKey, vkey);
  });

  it('cannot be of another kind than Ed25519', () => {
    assert.throws(() => new NoteSigner(generatePrivateKeyPem('ecdsa-p256'), () => 'log'), invalidKey);
    assert.throws(() => new NoteSigner(generatePrivateKeyPem(), () => 'a log'), invalidKey);
  });

  it('are read beside keys of receipts, and nothing else is', () => {
    const { receiptKeys, logKeys } = parseTrustedKeys(
      `\r\n${SIGNER.publicKeyPem}\r\n${LOG_SIGNER.vkey}\r\n${VKEY}`,
    );
    assert.deepEqual(
      receiptKeys.map(({ keyId }) => keyId),
      [SIGNER.keyId],
    );
    assert.deepEqual(
      logKeys.map(({ vkey }) => vkey),
      [LOG_SIGNER.vkey, VKEY],
    );
    for (const text of ['', '\n', 'hello', `${SIGNER.publicKeyPem}hello`, SIGNER.publicKeyPem.slice(0, -30)])
      assert.throws(() => parseTrustedKeys(text), invalidKey, text);
    assert.throws(() => parseTrustedKeys(generatePrivateKeyPem()), invalidKey);
  });
});

describe('checkpoints', () => {
  const log = new MemoryLog().fill(7);

  it('say origin, size and root, and may carry the proof that they continue an older one', () => {
    const { head } = parseCheckpoint(utf8(log.checkpoint()));
    assert.equal(head.origin, LOG_SIGNER.name);
    assert.match(head.origin, /^glasshouse-log\/[0-9a-f]{32}$/);
    assert.equal(head.size, 7);
    assert.deepEqual(Buffer.from(head.root), Buffer.from(log.root()));
    const { checkpoint, since } = parseUpdate(utf8(log.update(3)));
    assert.deepEqual(checkpoint, parseCheckpoint(utf8(log.checkpoint())));
    assert.equal(since?.oldSize, 3);
    assert.equal(parseUpdate(utf8(log.checkpoint())).since, null);
  });

  it('are refused when they are anything else', () => {
    const root = Buffer.from(log.root()).toString('base64');
    const texts = [
      `origin\n7\n${root}`.slice(0, 8) + '\n',
      `origin\n07\n${root}\n`,
      `origin\n-7\n${root}\n`,
      `origin\n7.0\n${root}\n`,
      `origin\n9007199254740992\n${root}\n`,
      `origin\n7\n${root.slice(4)}\n`,
      `origin\n7\n${root.replace('=', '')}\n`,
      `\n7\n${root}\n`,
      `origin\n7\n${root}\nextension\n`,
      `origin\n7\n${root}\n\n`,
    ];
    for (const text of texts)
      assert.throws(() => parseCheckpoint(utf8(LOG_SIGNER.sign(text))), refused, JSON.stringify(text));
    const note = log.checkpoint();
    for (const update of [
      note.replace(/^/, 'old 3\n'),
      encodeUpdate(note, -1, []),
      encodeUpdate(note, 3, [new Uint8Array(31)]),
      encodeUpdate(note, 3, Array<Uint8Array>(65).fill(new Uint8Array(32))),
      'old 3\n',
    ])
      assert.throws(() => parseUpdate(utf8(update)), refused, update.slice(0, 60));
  });
});
