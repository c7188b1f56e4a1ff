import { encodeBase64 } from '../receipts/base64.js';
import { GlasshouseError } from '../base/errors.js';
import { RECEIPT_BOUNDS } from '../receipts/bundle.js';
import { parseCheckpoint } from '../receipts/checkpoint.js';
import { auditLog } from '../receipts/store-audit.js';
import { parseAnyCheckpoint, verifyLog } from '../receipts/verify-log.js';
import { readBounded } from './bounded-file.js';
import { type Console } from './console.js';
import { EXIT_CODES } from './exit-codes.js';
import { type Services } from './services.js';
import { printChecks, readTrustedKeys } from './verify.js';

/** `glasshouse log show` */
export async function showLog(services: Services, console: Console, json: boolean): Promise<number> {
  const { vkey, name } = (await services.keyRing()).logSigner;
  const note = await latestCheckpoint(services);
  const head = note === null ? null : parseCheckpoint(Buffer.from(note)).head;
  const shown = {
    origin: head?.origin ?? name,
    key: vkey,
    size: head?.size ?? 0,
    root: head === null ? null : encodeBase64(head.root),
  };
  if (json) console.json(shown);
  else
    for (const [field, value] of Object.entries(shown)) console.line(`${field.padEnd(6)}  ${value ?? '-'}`);
  return 0;
}

/** `glasshouse log checkpoint [--since OLD]`: the signed head, with the proof that it continues an older one. */
export async function printCheckpoint(
  services: Services,
  console: Console,
  sinceFile: string | null,
): Promise<number> {
  const note = await latestCheckpoint(services);
  if (note === null)
    throw new GlasshouseError('not_found', 'Nothing has been logged yet: run a command first.');
  if (sinceFile === null) {
    console.text(note);
    return 0;
  }
  const { head } = parseAnyCheckpoint(await readBounded(sinceFile, RECEIPT_BOUNDS.maxBytes)).checkpoint;
  console.text((await services.store()).log.updateSince(head.size));
  return 0;
}

/** `glasshouse log verify OLD NEW`: needs no server, no network and, with `--key`, no data directory. */
export async function verifyCheckpoints(
  services: Services,
  console: Console,
  options: {
    readonly files: { readonly older: string; readonly newer: string };
    readonly keyFiles: readonly string[];
    readonly json: boolean;
  },
): Promise<number> {
  const { logKeys } = await readTrustedKeys(options.keyFiles, () => services.ownKeys());
  const older = await readBounded(options.files.older, RECEIPT_BOUNDS.maxBytes);
  const newer = await readBounded(options.files.newer, RECEIPT_BOUNDS.maxBytes);
  const report = await verifyLog(older, newer, { logKeys });
  if (options.json) console.json(report);
  else {
    printVerdict(console, 'log', report.valid);
    printChecks(console, report.checks);
  }
  return report.valid ? 0 : EXIT_CODES.verificationFailed;
}

/** `glasshouse log audit`: everything that the data directory says of its log. */
export async function auditStoredLog(services: Services, console: Console, json: boolean): Promise<number> {
  const { logKeys } = await services.ownKeys();
  const report = await auditLog(await services.store(), logKeys);
  if (json) console.json(report);
  else {
    printVerdict(console, 'log', report.valid);
    printChecks(console, report.checks);
  }
  return report.valid ? 0 : EXIT_CODES.verificationFailed;
}

async function latestCheckpoint(services: Services): Promise<string | null> {
  (await services.writer()).logOlderReceipts();
  return (await services.store()).log.latest()?.note ?? null;
}

function printVerdict(console: Console, what: string, valid: boolean): void {
  console.line(`${what}: ${valid ? console.style('good', 'VALID') : console.style('bad', 'NOT VALID')}`);
}
