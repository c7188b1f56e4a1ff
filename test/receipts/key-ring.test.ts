import assert from 'node:assert/strict';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { KeyRing } from '../../src/receipts/key-ring.js';
import { buildStatement, signStatement } from '../../src/receipts/statement.js';
import { verifyReceipt } from '../../src/receipts/verify.js';
import { runChild } from './run-child.js';
import { samplePredicate, SIGNER } from './sample.js';
import { temporaryDirectory } from './temporary-directory.js';

const modeOf = (path: string): number => statSync(path).mode & 0o777;

describe('KeyRing', () => {
  it('makes directory and key at first use, for nobody else to read, and keeps the key', (t) => {
    const directory = join(temporaryDirectory(t), 'a', 'keys');
    const ring = KeyRing.open(directory);
    const { keyId } = ring.signer;
    assert.deepEqual(readdirSync(directory).sort(), [`${keyId}.pub.pem`, 'signing-key.pem'].sort());
    assert.equal(modeOf(directory), 0o700);
    assert.equal(modeOf(join(directory, 'signing-key.pem')), 0o600);
    assert.match(readFileSync(join(directory, 'signing-key.pem'), 'utf8'), /^-----BEGIN PRIVATE KEY-----\n/);
    assert.equal(readFileSync(join(directory, `${keyId}.pub.pem`), 'utf8'), ring.publicKeyPem);
    assert.equal(KeyRing.open(directory).signer.keyId, keyId);
  });

  it('signs what its verifiers accept', async (t) => {
    const ring = KeyRing.open(temporaryDirectory(t));
    const receipt = await signStatement(buildStatement(samplePredicate()), ring.signer);
    assert.equal((await verifyReceipt(receipt.envelopeBytes, { trustedKeys: ring.verifiers() })).valid, true);
  });

  it('makes one key when several processes come first at once', async (t) => {
    const directory = join(temporaryDirectory(t), 'keys');
    const ids = await Promise.all(Array.from({ length: 4 }, () => runChild('open-key-ring', directory)));
    const ring = KeyRing.open(directory);
    assert.deepEqual(new Set(ids), new Set([ring.signer.keyId]));
    assert.equal(readdirSync(directory).length, 2);
  });

  it('after a rotation signs with a new key and still verifies what the old one signed', async (t) => {
    const directory = temporaryDirectory(t);
    const ring = KeyRing.open(directory);
    const oldId = ring.signer.keyId;
    const oldPrivateKey = readFileSync(join(directory, 'signing-key.pem'), 'utf8');
    const old = await signStatement(buildStatement(samplePredicate()), ring.signer);

    const newId = ring.rotate();
    assert.notEqual(newId, oldId);
    assert.equal(ring.signer.keyId, newId);
    assert.equal(KeyRing.open(directory).signer.keyId, newId);
    assert.equal(modeOf(join(directory, 'signing-key.pem')), 0o600);
    for (const name of readdirSync(directory)) {
      assert.notEqual(readFileSync(join(directory, name), 'utf8'), oldPrivateKey);
    }
    const ids = ring.verifiers().map(({ keyId }) => keyId);
    assert.deepEqual(ids, [oldId, newId].sort());
    for (const receipt of [old, await signStatement(buildStatement(samplePredicate()), ring.signer)]) {
      assert.equal(
        (await verifyReceipt(receipt.envelopeBytes, { trustedKeys: ring.verifiers() })).valid,
        true,
      );
    }
  });

  it('makes the key of the log when it is first needed, keeps it through rotations, and gives its public key', (t) => {
    const directory = temporaryDirectory(t);
    const ring = KeyRing.open(directory);
    assert.deepEqual(ring.logVerifiers(), []);
    const { vkey } = ring.logSigner;
    ring.rotate('ecdsa-p256');
    assert.equal(KeyRing.open(directory).logSigner.vkey, vkey);
    assert.deepEqual(
      ring.logVerifiers().map((key) => key.vkey),
      [vkey],
    );
    assert.equal(modeOf(join(directory, 'log-key.pem')), 0o600);
    chmodSync(join(directory, 'log-key.pem'), 0o640);
    assert.throws(() => KeyRing.open(directory).logSigner, { code: 'key_unsafe' });
  });

  it('signs with the kind of key that it is told, and with that kind again', (t) => {
    const ring = KeyRing.open(temporaryDirectory(t));
    assert.equal(ring.algorithm, 'ed25519');
    ring.rotate('ecdsa-p256');
    assert.equal(ring.algorithm, 'ecdsa-p256');
    ring.rotate();
    assert.equal(ring.algorithm, 'ecdsa-p256');
  });

  it('gives public keys by their id, and nothing for any other name', (t) => {
    const ring = KeyRing.open(temporaryDirectory(t));
    assert.equal(ring.publicKeyOf(ring.signer.keyId), ring.publicKeyPem);
    for (const id of ['0'.repeat(64), '', '../signing-key', `../keys/${ring.signer.keyId}`]) {
      assert.equal(ring.publicKeyOf(id), null);
    }
  });

  for (const mode of [0o640, 0o604, 0o620, 0o777]) {
    it(`refuses a private key of mode ${mode.toString(8)}`, (t) => {
      const directory = temporaryDirectory(t);
      KeyRing.open(directory);
      chmodSync(join(directory, 'signing-key.pem'), mode);
      assert.throws(() => KeyRing.open(directory), { code: 'key_unsafe', message: /chmod 600/ });
    });
  }

  it('refuses a directory in which others could replace the key', (t) => {
    const directory = temporaryDirectory(t);
    KeyRing.open(directory);
    chmodSync(directory, 0o770);
    assert.throws(() => KeyRing.open(directory), { code: 'key_unsafe', message: /chmod 700/ });
  });

  it('refuses a private key that is none, and does not replace it', (t) => {
    const directory = temporaryDirectory(t);
    const file = join(directory, 'signing-key.pem');
    for (const content of ['', 'garbage', SIGNER.publicKeyPem]) {
      writeFileSync(file, content, { mode: 0o600 });
      assert.throws(() => KeyRing.open(directory), { code: 'key_invalid' });
      assert.equal(readFileSync(file, 'utf8'), content);
    }
  });

  it('refuses a public key under the name of another', (t) => {
    const directory = temporaryDirectory(t);
    const ring = KeyRing.open(directory);
    const name = `${'0'.repeat(64)}.pub.pem`;
    copyFileSync(join(directory, `${ring.signer.keyId}.pub.pem`), join(directory, name));
    assert.throws(() => ring.verifiers(), { code: 'key_invalid', message: /its name/ });
    assert.throws(() => ring.publicKeyOf('0'.repeat(64)), { code: 'key_invalid' });
  });

  it('writes the current public key again when it is gone', (t) => {
    const directory = temporaryDirectory(t);
    const ring = KeyRing.open(directory);
    rmSync(join(directory, `${ring.signer.keyId}.pub.pem`));
    assert.equal(KeyRing.open(directory).verifiers().length, 1);
  });

  it('removes what a process that died left behind long ago, and only that', (t) => {
    const directory = temporaryDirectory(t);
    const abandoned = join(directory, `.${'0'.repeat(32)}.tmp`);
    const recent = join(directory, `.${'1'.repeat(32)}.tmp`);
    const foreign = join(directory, '.foreign.tmp');
    for (const file of [abandoned, recent, foreign]) writeFileSync(file, 'x');
    for (const file of [abandoned, foreign]) utimesSync(file, 0, 0);
    KeyRing.open(directory);
    assert.deepEqual([abandoned, recent, foreign].map(existsSync), [false, true, true]);
  });

  it('names the directory when it cannot be used', (t) => {
    const directory = join(temporaryDirectory(t), 'keys');
    writeFileSync(directory, '');
    assert.throws(() => KeyRing.open(directory), { code: 'key_invalid', message: /keys/ });
    rmSync(directory);
    mkdirSync(join(directory, 'signing-key.pem'), { recursive: true });
    assert.throws(() => KeyRing.open(directory), { name: 'GlasshouseError' });
  });
});
