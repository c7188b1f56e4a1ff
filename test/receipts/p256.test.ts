import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';

import { encodeBundle } from '../../src/receipts/bundle.js';
import { generatePrivateKeyPem, importPublicKey } from '../../src/receipts/crypto.js';
import { KeySigner } from '../../src/receipts/signer.js';
import { decodeSpkiPem } from '../../src/receipts/spki.js';
import { buildStatement, signStatement } from '../../src/receipts/statement.js';
import { KeyVerifier } from '../../src/receipts/verifier.js';
import { verifyReceipt } from '../../src/receipts/verify.js';
import { LOG_VERIFIER, sampleProof } from './sample-log.js';
import { samplePredicate, utf8 } from './sample.js';

const signer = KeySigner.fromPem(generatePrivateKeyPem('ecdsa-p256'));
const verifier = KeyVerifier.fromPem(signer.publicKeyPem);

describe('a P-256 key', () => {
  it('signs receipts that verify, and says in the bundle what it is', async () => {
    const receipt = await signStatement(buildStatement(samplePredicate()), signer);
    const bundle = encodeBundle(receipt, signer.publicKeyPem, sampleProof(receipt.envelopeBytes));
    assert.match(Buffer.from(bundle).toString(), /"algorithm":"ecdsa-p256"/);
    const trusted = { trustedKeys: [verifier], logKeys: [LOG_VERIFIER] };
    assert.equal((await verifyReceipt(bundle, trusted)).valid, true);
  });

  it('refuses what it did not sign, and any other encoding of what it did', async () => {
    const signature = await signer.sign(utf8('message'));
    assert.equal(await verifier.verify(utf8('message'), signature), true);
    assert.equal(await verifier.verify(utf8('massage'), signature), false);
    for (let index = 0; index < signature.length; index += 1) {
      const flipped = Uint8Array.from(signature, (byte, at) => (at === index ? byte ^ 1 : byte));
      assert.equal(await verifier.verify(utf8('message'), flipped), false, `byte ${index}`);
    }
    for (const other of [
      [],
      [0x30],
      [...signature, 0],
      [...signature].slice(0, -1),
      new Array<number>(64).fill(1),
    ])
      assert.equal(await verifier.verify(utf8('message'), Uint8Array.from(other)), false);
  });

  it('has the PEM that OpenSSL makes, in lines of 64 characters', () => {
    const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
      type: 'spki',
      format: 'pem',
    });
    assert.equal(KeyVerifier.fromPem(pem.toString()).publicKeyPem, pem.toString());
    assert.throws(() => KeyVerifier.fromPem(pem.toString().replace(/\n(?=.{10,63}\n-)/, '')), {
      code: 'key_invalid',
    });
  });

  it('is refused when its point is not on the curve', () => {
    const key = decodeSpkiPem(signer.publicKeyPem);
    const spki = Uint8Array.from(key.spki);
    spki.fill(1, -32);
    assert.throws(() => importPublicKey({ ...key, spki }), { code: 'key_invalid' });
  });
});
