import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { describe, it } from 'node:test';

import { bundleFromJSON } from '@sigstore/bundle';
import { toSignedEntity, Verifier } from '@sigstore/verify';

import { generatePrivateKeyPem } from '../../src/receipts/crypto.js';
import { KeySigner } from '../../src/receipts/signer.js';
import { encodeSigstoreBundle } from '../../src/receipts/sigstore.js';
import { KEY_ALGORITHMS } from '../../src/receipts/spki.js';
import { buildStatement, signStatement } from '../../src/receipts/statement.js';
import { samplePredicate } from './sample.js';

/** Verifies as a user of Sigstore does who trusts one key and asks no log. */
function verify(bundle: Uint8Array | string, signer: KeySigner): void {
  const verifier = new Verifier(
    {
      certificateAuthorities: [],
      timestampAuthorities: [],
      tlogs: [],
      ctlogs: [],
      publicKey: (hint) => {
        assert.equal(hint, signer.keyId);
        return { publicKey: createPublicKey(signer.publicKeyPem), validFor: () => true };
      },
    },
    { tlogThreshold: 0, ctlogThreshold: 0, tsaThreshold: 0 },
  );
  verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(Buffer.from(bundle).toString()))));
}

describe('@sigstore/verify, which knows nothing of us', () => {
  for (const algorithm of KEY_ALGORITHMS) {
    it(`accepts the bundle v0.3 of a receipt that was signed with ${algorithm}`, async () => {
      const signer = KeySigner.fromPem(generatePrivateKeyPem(algorithm));
      const receipt = await signStatement(buildStatement(samplePredicate()), signer);
      verify(encodeSigstoreBundle(receipt.envelopeBytes), signer);
    });

    it(`refuses it when the payload, its type or the key is another (${algorithm})`, async () => {
      const signer = KeySigner.fromPem(generatePrivateKeyPem(algorithm));
      const receipt = await signStatement(buildStatement(samplePredicate()), signer);
      const text = Buffer.from(encodeSigstoreBundle(receipt.envelopeBytes)).toString();
      const other = KeySigner.fromPem(generatePrivateKeyPem(algorithm));
      const refused = { name: 'VerificationError' };
      for (const [from, to] of [
        ['"payload":"eyJ', '"payload":"eyK'],
        ['application/vnd.in-toto+json', 'application/vnd.in-toto+jsom'],
        [signer.keyId, other.keyId],
      ] as const) {
        const changed = text.replaceAll(from, to);
        assert.notEqual(changed, text);
        assert.throws(() => {
          verify(changed, to === other.keyId ? other : signer);
        }, refused);
      }
    });
  }
});
