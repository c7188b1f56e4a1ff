import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { type Installation } from '../cli/command-line.js';
import { machinesOf } from './server-process.js';

export const TIME_LIMIT = { timeout: 180_000 };
/** A program that ends only when it is ended. */
export const ENDLESS = {
  code: 'import time\nprint("running", flush=True)\nwhile True: time.sleep(60)',
  timeout_ms: 60_000,
};

/** The part of a problem document that these tests look at. */
export interface Problem {
  readonly code: string;
  readonly receipt_id?: string;
  readonly execution_status?: string;
}

/** The predicates of every receipt in the store, newest first, read through the command line. */
export async function outcomes(
  installation: Installation,
): Promise<{ status: string; receipt_id: string }[]> {
  return JSON.parse(await installation.ok(['receipts', 'list', '--json'])) as {
    status: string;
    receipt_id: string;
  }[];
}

export function assertNothingLeft(installation: Installation): void {
  const spool = join(installation.dataDirectory, 'spool');
  assert.deepEqual(machinesOf(spool), [], 'no process has a file of the spool directory open');
  assert.deepEqual(readdirSync(spool), [], 'the spool directory is empty');
}
