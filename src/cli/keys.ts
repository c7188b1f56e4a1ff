import { type Console } from './console.js';
import { type Services } from './services.js';

/** `glasshouse keys show`: the public keys of this installation, or the current one as PEM to hand out. */
export async function showKeys(
  services: Services,
  console: Console,
  options: { readonly pem: boolean; readonly json: boolean },
): Promise<number> {
  const ring = await services.keyRing();
  if (options.pem) {
    process.stdout.write(ring.publicKeyPem);
    return 0;
  }
  const keys = ring.verifiers().map(({ keyId }) => ({ key_id: keyId, current: keyId === ring.signer.keyId }));
  if (options.json) console.json(keys);
  else
    console.table(
      ['KEY', 'USE'],
      keys.map((key) => [key.key_id, key.current ? 'signs' : 'verifies old receipts']),
    );
  return 0;
}

/** `glasshouse keys rotate`: a running server signs with its old key until it is started again. */
export async function rotateKey(services: Services, console: Console, json: boolean): Promise<number> {
  const keyId = (await services.keyRing()).rotate();
  if (json) console.json({ key_id: keyId });
  else {
    console.line(`New receipts are signed with ${keyId}.`);
    console.note('a running server goes on with its old key until it is started again');
  }
  return 0;
}
