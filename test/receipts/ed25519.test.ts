import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import {
  generatePrivateKeyPem,
  importPrivateKey,
  randomHex,
  Sha256,
  sha256,
} from '../../src/receipts/crypto.js';
import { KeySigner } from '../../src/receipts/signer.js';
import { ed25519PublicKey, encodeSpkiPem, rawPublicKey } from '../../src/receipts/spki.js';
import { KeyVerifier } from '../../src/receipts/verifier.js';
import { privateKeyPem, RFC8032_TEST1_SEED, SIGNER, utf8, VERIFIER } from './sample.js';

interface Vectors {
  readonly vectors: readonly Readonly<Record<'secret' | 'public' | 'message' | 'signature', string>>[];
}
const { vectors } = JSON.parse(
  readFileSync('test/fixtures/receipts/rfc8032-ed25519.json', 'utf8'),
) as Vectors;
const invalid = { name: 'GlasshouseError', code: 'key_invalid' };
const hex = (text: string): Uint8Array => Buffer.from(text, 'hex');

describe('Ed25519: RFC 8032 section 7.1', () => {
  for (const vector of vectors) {
    const name = `message of ${vector.message.length / 2} bytes`;
    it(`derives the public key and the signature (${name})`, async () => {
      const key = importPrivateKey(privateKeyPem(vector.secret));
      assert.equal(Buffer.from(rawPublicKey(key.publicKey)).toString('hex'), vector.public);
      assert.equal(Buffer.from(await key.sign(hex(vector.message))).toString('hex'), vector.signature);
    });

    it(`accepts the signature, and nothing near it (${name})`, async () => {
      const verifier = KeyVerifier.fromPem(encodeSpkiPem(ed25519PublicKey(hex(vector.public))));
      const message = hex(vector.message);
      const signature = hex(vector.signature);
      assert.equal(await verifier.verify(message, signature), true);
      assert.equal(await verifier.verify(Buffer.concat([message, Buffer.of(0)]), signature), false);
      for (let index = 0; index < signature.length; index += 1) {
        const flipped = Uint8Array.from(signature, (byte, at) => (at === index ? byte ^ 1 : byte));
        assert.equal(await verifier.verify(message, flipped), false);
      }
    });
  }

  it('is made of a large message as of a small one, wherever that is done', async () => {
    for (const length of [65_536, 65_537]) {
      const message = new Uint8Array(length).fill(7);
      const signature = await SIGNER.sign(message);
      assert.equal(await VERIFIER.verify(message, signature), true);
      assert.deepEqual(signature, importPrivateKey(privateKeyPem(RFC8032_TEST1_SEED)).signNow(message));
    }
  });

  it('refuses a signature whose scalar was made larger by the group order (section 5.1.7)', async () => {
    const order = (1n << 252n) + 27742317777372353535851937790883648493n;
    const signature = await SIGNER.sign(utf8('message'));
    const scalar = BigInt(`0x${Buffer.from(signature.slice(32)).reverse().toString('hex')}`) + order;
    const larger = Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex').reverse();
    const forged = Buffer.concat([signature.slice(0, 32), larger]);
    assert.equal(await VERIFIER.verify(utf8('message'), signature), true);
    assert.equal(await VERIFIER.verify(utf8('message'), forged), false);
  });

  it('refuses signatures of any other length, without an error', async () => {
    for (const length of [0, 1, 63, 65, 128]) {
      assert.equal(await VERIFIER.verify(utf8('message'), new Uint8Array(length)), false);
    }
  });
});

describe('keys', () => {
  it('have as id the sha256 of the SubjectPublicKeyInfo, the same for signer and verifier', () => {
    const der = Buffer.from(SIGNER.publicKeyPem.split('\n')[1] ?? '', 'base64');
    assert.equal(SIGNER.keyId, sha256(der));
    assert.equal(VERIFIER.keyId, SIGNER.keyId);
    assert.equal(VERIFIER.publicKeyPem, SIGNER.publicKeyPem);
  });

  it('are new each time', () => {
    assert.notEqual(generatePrivateKeyPem(), generatePrivateKeyPem());
    assert.match(randomHex(16), /^[0-9a-f]{32}$/);
  });

  it('are read from PEM with CRLF line ends and white space around it', () => {
    const pem = `\n${SIGNER.publicKeyPem.replaceAll('\n', '\r\n')}  \n`;
    assert.equal(KeyVerifier.fromPem(pem).keyId, SIGNER.keyId);
  });

  it('refuses public keys of other kinds, private keys, and text that is no key', () => {
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({
      type: 'spki',
      format: 'pem',
    });
    const x25519 = generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'pem' });
    const short = SIGNER.publicKeyPem.replace(/\n.{4}/, '\n');
    for (const pem of [p384, x25519, generatePrivateKeyPem(), short, '', 'ssh-ed25519 AAAA']) {
      assert.throws(() => KeyVerifier.fromPem(pem.toString()), invalid);
    }
    assert.throws(() => KeyVerifier.fromPem(SIGNER.publicKeyPem + SIGNER.publicKeyPem), invalid);
  });

  it('refuses private keys of other kinds, encrypted ones, and text that is no key', () => {
    const pkcs8 = { type: 'pkcs8', format: 'pem' } as const;
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export(pkcs8);
    const ed448 = generateKeyPairSync('ed448').privateKey.export(pkcs8);
    const encrypted = generateKeyPairSync('ed25519').privateKey.export({
      ...pkcs8,
      cipher: 'aes-256-cbc',
      passphrase: 'secret',
    });
    for (const pem of [p384, ed448, encrypted, SIGNER.publicKeyPem, '']) {
      assert.throws(() => KeySigner.fromPem(pem.toString()), invalid);
    }
  });
});

describe('sha256', () => {
  it('gives the digest of FIPS 180-4 for "abc", whole and in pieces', () => {
    const digest = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    assert.equal(sha256(utf8('abc')), digest);
    assert.equal(new Sha256().update(utf8('a')).update(utf8('bc')).digest(), digest);
  });
});
