import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { encodeBundle, parseReceiptFile } from '../../src/receipts/bundle.js';
import { generatePrivateKeyPem } from '../../src/receipts/crypto.js';
import { preAuthenticationEncoding } from '../../src/receipts/dsse.js';
import { KeySigner } from '../../src/receipts/signer.js';
import { buildStatement, signStatement } from '../../src/receipts/statement.js';
import { samplePredicate, sampleReceipt, SIGNER } from './sample.js';
import { sampleProof } from './sample-log.js';
import { temporaryDirectory } from './temporary-directory.js';

const VERIFY = ['pkeyutl', '-verify', '-pubin', '-rawin'];
const GOLDEN = 'test/fixtures/receipts/golden-receipt.json';
const GOLDEN_KEY = 'test/fixtures/receipts/golden-key.pub.pem';

/** Why a tool cannot be used here, or false: what `skip` takes. */
function missing(...tools: readonly string[]): string | false {
  const absent = tools.filter((tool) => spawnSync(tool, ['--version']).error !== undefined);
  return absent.length > 0 && `not installed: ${absent.join(', ')}`;
}

const documentation = (): string => readFileSync('docs/receipt-format.md', 'utf8');

/** The commands in the section "Verify one by hand" of the documentation. */
function documentedCommands(): string {
  const section = documentation().split('## Verify one by hand')[1] ?? '';
  return /```sh\n([^]*?)```/.exec(section)?.[1] ?? '';
}

describe('OpenSSL, which knows nothing of us', () => {
  it(
    'accepts the signature over the PAE, and refuses one over a changed PAE',
    { skip: missing('openssl') },
    async (t) => {
      const directory = temporaryDirectory(t);
      const signer = KeySigner.fromPem(generatePrivateKeyPem());
      const receipt = await signStatement(buildStatement(samplePredicate()), signer);
      const { envelope } = parseReceiptFile(receipt.envelopeBytes);
      const file = (name: string, content: Uint8Array | string): string => {
        writeFileSync(join(directory, name), content);
        return join(directory, name);
      };
      const key = file('key.pem', signer.publicKeyPem);
      const signature = file('signature', envelope.signatures[0]?.sig ?? '');
      const verify = (message: string): number | null =>
        spawnSync('openssl', [...VERIFY, '-inkey', key, '-in', message, '-sigfile', signature]).status;

      const encoded = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
      assert.equal(verify(file('pae', encoded)), 0);
      encoded[encoded.length - 1] = 0x20;
      assert.equal(verify(file('changed', encoded)), 1);
    },
  );

  it(
    'accepts a P-256 signature over the PAE, and refuses one over a changed PAE',
    { skip: missing('openssl') },
    async (t) => {
      const directory = temporaryDirectory(t);
      const signer = KeySigner.fromPem(generatePrivateKeyPem('ecdsa-p256'));
      const receipt = await signStatement(buildStatement(samplePredicate()), signer);
      const { envelope } = parseReceiptFile(receipt.envelopeBytes);
      const encoded = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
      const file = (name: string, content: Uint8Array | string): string => {
        writeFileSync(join(directory, name), content);
        return join(directory, name);
      };
      const key = file('key.pem', signer.publicKeyPem);
      const signature = file('signature', envelope.signatures[0]?.sig ?? '');
      const verify = (message: string): number | null =>
        spawnSync('openssl', ['dgst', '-sha256', '-verify', key, '-signature', signature, message]).status;
      assert.equal(verify(file('pae', encoded)), 0);
      encoded[encoded.length - 1] = 0x20;
      assert.equal(verify(file('changed', encoded)), 1);
    },
  );

  const tools = missing('openssl', 'jq', 'sh', 'base64');
  it('accepts the golden receipt by the commands in docs/receipt-format.md', { skip: tools }, (t) => {
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, 'receipt.json'), readFileSync(GOLDEN));
    writeFileSync(join(directory, 'key.pem'), readFileSync(GOLDEN_KEY));
    const run = (): ReturnType<typeof spawnSync> =>
      spawnSync('sh', ['-euc', documentedCommands()], { cwd: directory, encoding: 'utf8' });
    const accepted = run();
    assert.equal(accepted.status, 0, String(accepted.stderr));
    const promised = documentation().split('This prints:')[1]?.split('\n## ')[0] ?? '';
    assert.equal(String(accepted.stdout).trim(), promised.replace(/^ {4}/gm, '').trim());

    const golden = readFileSync(GOLDEN, 'utf8');
    const payload = /"payload":"([^"]*)"/.exec(golden)?.[1] ?? '';
    const edited = Buffer.from(payload, 'base64').toString().replace('"exit_code":0', '"exit_code":1');
    const forged = golden.replace(payload, Buffer.from(edited).toString('base64'));
    assert.notEqual(forged, golden);
    writeFileSync(join(directory, 'receipt.json'), forged);
    const refused = run();
    assert.notEqual(refused.status, 0);
    assert.doesNotMatch(String(refused.stdout), /receipt_id: OK|Verified Successfully/);
  });
});

describe('the golden receipt', () => {
  it('is made again, byte for byte, from the same execution and key', async () => {
    const { receipt } = await sampleReceipt();
    assert.equal(
      Buffer.from(encodeBundle(receipt, SIGNER.publicKeyPem, sampleProof(receipt.envelopeBytes))).toString(),
      readFileSync(GOLDEN, 'utf8'),
    );
    assert.equal(SIGNER.publicKeyPem, readFileSync(GOLDEN_KEY, 'utf8'));
  });
});
