import { type KeyAlgorithm } from '../receipts/spki.js';
import { type Console } from './console.js';
import { type Services } from './services.js';

/** `glasshouse keys show`: the public keys of this installation, or the current ones to hand out. */
export async function showKeys(
  services: Services,
  console: Console,
  options: { readonly pem: boolean; readonly json: boolean },
): Promise<number> {
  const ring = await services.keyRing();
  if (options.pem) {
    process.stdout.write(`${ring.publicKeyPem}${ring.logSigner.vkey}\n`);
    return 0;
  }
  const log = ring.logSigner.vkey;
  const keys = ring
    .verifiers()
    .map(({ keyId, algorithm }) => ({ key_id: keyId, algorithm, current: keyId === ring.signer.keyId }));
  if (options.json) {
    console.json({ receipts: keys, log });
    return 0;
  }
  console.table(
    ['KEY', 'KIND', 'USE'],
    keys.map((key) => [key.key_id, key.algorithm, key.current ? 'signs' : 'verifies old receipts']),
  );
  console.line(`The log is signed by ${log}`);
  return 0;
}

/** `glasshouse keys rotate`: a running server signs with its old key until it is started again. */
export async function rotateKey(
  services: Services,
  console: Console,
  { algorithm, json }: { readonly algorithm: KeyAlgorithm | null; readonly json: boolean },
): Promise<number> {
  const ring = await services.keyRing();
  const keyId = ring.rotate(algorithm ?? ring.algorithm);
  if (json) console.json({ key_id: keyId });
  else {
    console.line(`New receipts are signed with ${keyId}.`);
    console.note('a running server goes on with its old key until it is started again');
  }
  return 0;
}
