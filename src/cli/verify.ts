import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

import { GlasshouseError } from '../base/errors.js';
import { RECEIPT_BOUNDS } from '../receipts/bundle.js';
import { parseTrustedKeys, type TrustedKeys } from '../receipts/trusted-keys.js';
import {
  type Check,
  type GivenSubject,
  type VerificationReport,
  verifyReceipt,
  type VerifyOptions,
} from '../receipts/verify.js';
import { cannotRead, readBounded, readUpTo } from './bounded-file.js';
import { type Console, type Style } from './console.js';
import { EXIT_CODES } from './exit-codes.js';

export interface VerifyCommandOptions {
  readonly files: readonly [string, ...string[]];
  /** Files with public keys to trust; empty: those of the data directory. */
  readonly keyFiles: readonly string[];
  /** Name of a subject (`stdout`, `stderr`, `code`, `workspace/out.txt`) and the file to hold against it. */
  readonly subjects: readonly { readonly name: string; readonly file: string }[];
  /** A checkpoint from elsewhere; null: none. */
  readonly checkpointFile: string | null;
  /** The id that a receipt was announced under; null: any. */
  readonly receiptId: string | null;
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

/**
 * `glasshouse verify`: needs no server, no network and, with `--key`, no data directory. Every file is looked at, also
 * after one that is not valid or cannot be read.
 */
export async function verify(
  console: Console,
  options: VerifyCommandOptions,
  ownKeys: () => Promise<TrustedKeys>,
): Promise<number> {
  const { receiptKeys: trustedKeys, logKeys } = await readTrustedKeys(options.keyFiles, ownKeys);
  const expected = {
    trustedKeys,
    logKeys,
    subjects: await Promise.all(options.subjects.map(hashSubject)),
    ...(options.receiptId === null ? {} : { receiptId: options.receiptId }),
    ...(options.checkpointFile === null
      ? {}
      : { checkpoint: await readBounded(options.checkpointFile, RECEIPT_BOUNDS.maxBytes) }),
  };
  // What a receipt says is not kept: there may be any number of them.
  const verdicts = new Set<Verdict>();
  const reports: object[] = [];
  for (const file of options.files) {
    const result = await verifyFile(file, expected);
    verdicts.add(verdictOf(result));
    if (result.error !== null) console.note(`${result.error.message} [${result.error.code}]`);
    if (options.json) reports.push(toJson(result));
    else if (result.report !== null) printReport(console, file, result.report);
  }
  if (options.json) console.json(reports);
  return exitCodeOf(verdicts);
}

/** What became of one file: it was checked, or it could not be read. */
type Result =
  | { readonly file: string; readonly report: VerificationReport; readonly error: null }
  | { readonly file: string; readonly report: null; readonly error: GlasshouseError };

type Verdict = 'valid' | 'invalid' | 'unread';

function verdictOf({ report }: Result): Verdict {
  if (report === null) return 'unread';
  return report.valid ? 'valid' : 'invalid';
}

async function verifyFile(file: string, expected: VerifyOptions): Promise<Result> {
  try {
    // One byte more than a receipt can have: a longer file is not a receipt, which the report says.
    const bytes = await readUpTo(file, RECEIPT_BOUNDS.maxBytes + 1);
    return { file, report: await verifyReceipt(bytes, expected), error: null };
  } catch (error) {
    if (error instanceof GlasshouseError) return { file, report: null, error };
    throw error;
  }
}

/** A receipt that is not valid says more than one that nobody could look at. */
function exitCodeOf(verdicts: ReadonlySet<Verdict>): number {
  if (verdicts.has('invalid')) return EXIT_CODES.verificationFailed;
  return verdicts.has('unread') ? EXIT_CODES.failure : 0;
}

/** Those of the files; without files, those of the data directory. */
export async function readTrustedKeys(
  files: readonly string[],
  ownKeys: () => Promise<TrustedKeys>,
): Promise<TrustedKeys> {
  if (files.length === 0) return ownKeys();
  const all = await Promise.all(files.map(readKeys));
  return {
    receiptKeys: all.flatMap(({ receiptKeys }) => receiptKeys),
    logKeys: all.flatMap(({ logKeys }) => logKeys),
  };
}

function toJson({ file, report, error }: Result): object {
  if (error !== null) {
    const { code, message } = error;
    return { file, valid: false, receipt_id: null, checks: [], error: { code, message } };
  }
  const { valid, receiptId, checks } = report;
  return { file, valid, receipt_id: receiptId, checks, error: null };
}

function printReport(console: Console, file: string, report: VerificationReport): void {
  const verdict = report.valid ? console.style('good', 'VALID') : console.style('bad', 'NOT VALID');
  console.line(`${console.printable(file)}: ${verdict}`);
  if (report.receiptId !== null) console.line(`  receipt ${report.receiptId}`);
  printChecks(console, report.checks);
}

/** One line for each check: what it proves, what is wrong with its code, or what remains to be trusted. */
export function printChecks(console: Console, checks: readonly Check[]): void {
  for (const { name, outcome, code, detail } of checks) {
    const word = console.style(STYLES[outcome], WORDS[outcome].padEnd(11));
    const reason = code === null ? '' : ` [${code}]`;
    console.line(`  ${word}  ${name.padEnd(17)}  ${console.printable(detail)}${reason}`);
  }
}

async function readKeys(file: string): Promise<TrustedKeys> {
  return parseTrustedKeys(Buffer.from(await readBounded(file, LARGEST_KEY_BYTES)).toString('utf8'));
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
