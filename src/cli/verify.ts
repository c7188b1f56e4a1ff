import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';

import { asGlasshouseError, GlasshouseError } from '../base/errors.js';
import { RECEIPT_BOUNDS } from '../receipts/bundle.js';
import { Ed25519Verifier, type Verifier } from '../receipts/verifier.js';
import { type Check, type GivenSubject, type VerificationReport, verifyReceipt } from '../receipts/verify.js';
import { type Console, type Style } from './console.js';
import { EXIT_CODES } from './exit-codes.js';

export interface VerifyCommandOptions {
  readonly files: readonly [string, ...string[]];
  /** PEM files with public keys to trust; empty: those of the data directory. */
  readonly keyFiles: readonly string[];
  /** Name of a subject (`stdout`, `stderr`, `workspace/out.txt`) and the file to hold against it. */
  readonly subjects: readonly { readonly name: string; readonly file: string }[];
  readonly json: boolean;
}

const LARGEST_KEY_BYTES = 64 * 1024;
const STYLES: Readonly<Record<Check['outcome'], Style>> = {
  passed: 'good',
  failed: 'bad',
  not_checked: 'dim',
};
const WORDS: Readonly<Record<Check['outcome'], string>> = {
  passed: 'passed',
  failed: 'FAILED',
  not_checked: 'not checked',
};

/** `glasshouse verify`: needs no server, no network and, with `--key`, no data directory. */
export async function verify(
  console: Console,
  options: VerifyCommandOptions,
  ownKeys: () => Promise<readonly Verifier[]>,
): Promise<number> {
  const trustedKeys =
    options.keyFiles.length > 0 ? await Promise.all(options.keyFiles.map(readKey)) : await ownKeys();
  const subjects = await Promise.all(options.subjects.map(hashSubject));
  const results: { file: string; report: VerificationReport }[] = [];
  for (const file of options.files) {
    const bytes = await readBounded(file, RECEIPT_BOUNDS.maxBytes);
    results.push({ file, report: await verifyReceipt(bytes, { trustedKeys, subjects }) });
  }
  if (options.json) console.json(results.map(toJson));
  else for (const { file, report } of results) printReport(console, file, report);
  return results.every(({ report }) => report.valid) ? 0 : EXIT_CODES.verificationFailed;
}

function toJson({ file, report }: { file: string; report: VerificationReport }): object {
  const { valid, receiptId, checks } = report;
  return { file, valid, receipt_id: receiptId, checks };
}

function printReport(console: Console, file: string, report: VerificationReport): void {
  const verdict = report.valid ? console.style('good', 'VALID') : console.style('bad', 'NOT VALID');
  console.line(`${console.printable(file)}: ${verdict}`);
  if (report.receiptId !== null) console.line(`  receipt ${report.receiptId}`);
  for (const check of report.checks) {
    const word = console.style(STYLES[check.outcome], WORDS[check.outcome].padEnd(11));
    console.line(`  ${word}  ${check.name.padEnd(17)}  ${console.printable(check.detail)}`);
  }
}

async function readKey(file: string): Promise<Verifier> {
  const pem = await readBounded(file, LARGEST_KEY_BYTES);
  return Ed25519Verifier.fromPem(Buffer.from(pem).toString('utf8'));
}

async function hashSubject({ name, file }: { name: string; file: string }): Promise<GivenSubject> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  } catch (error) {
    throw cannotRead(file, error);
  }
  return { name, sha256: hash.digest('hex') };
}

/** Reads a whole file, or stdin for `-`, of at most `maxBytes`. */
async function readBounded(file: string, maxBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    const stream = file === '-' ? process.stdin : (await open(file, 'r')).createReadStream();
    for await (const chunk of stream) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length > maxBytes)
        throw new GlasshouseError('receipt_invalid', `${file} has more than ${maxBytes} bytes.`);
    }
  } catch (error) {
    throw cannotRead(file, error);
  }
  return Buffer.concat(chunks);
}

function cannotRead(file: string, error: unknown): GlasshouseError {
  if (error instanceof GlasshouseError) return error;
  return new GlasshouseError('not_found', `${file} cannot be read: ${asGlasshouseError(error).message}`, {
    cause: error,
  });
}
