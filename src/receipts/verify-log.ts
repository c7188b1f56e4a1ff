import { GlasshouseError } from '../base/errors.js';
import { type ClaimedLogProof, parseReceiptFile } from './bundle.js';
import { Checklist, type Check, type Failure, failureIf, type LogCheckName } from './check.js';
import {
  type Checkpoint,
  type CheckpointUpdate,
  parseCheckpoint,
  parseUpdate,
  type TreeHead,
} from './checkpoint.js';
import { sha256 } from './crypto.js';
import { encodeLogEntry } from './log-entry.js';
import { emptyRoot, hashLeaf, provesConsistency, provesInclusion, sameHash } from './merkle.js';
import { type NoteVerifier } from './signed-note.js';
import { quote } from './text.js';

export interface LogReport {
  /** The new log has the whole old one in it. */
  readonly valid: boolean;
  readonly checks: readonly Check[];
}

/**
 * Verifies that a log continues another: both checkpoints are signed by a trusted key of one log, and the newer comes
 * with a proof of consistency (`glasshouse log checkpoint --since OLD`), unless both have the same size. Each file is a
 * checkpoint, one with a proof, or a receipt file, which has a checkpoint in it. Resolves to a report for any bytes.
 */
export async function verifyLog(
  oldFile: Uint8Array,
  newFile: Uint8Array,
  { logKeys }: { readonly logKeys: readonly NoteVerifier[] },
): Promise<LogReport> {
  const list = new Checklist();
  const older = await checkSignedHead(list, 'old_checkpoint', () => parseAnyCheckpoint(oldFile), logKeys);
  const newer = await checkSignedHead(list, 'new_checkpoint', () => parseAnyCheckpoint(newFile), logKeys);
  if (older !== null && newer !== null) checkContinues(list, older.checkpoint.head, newer);
  else list.notChecked('log_consistency', NOT_REACHED);
  list.notChecked('log_forks', FORKS);
  return { valid: !list.hasFailure, checks: list.checks };
}

/** Where a receipt stands in the log. */
export interface LogPlace {
  readonly envelopeBytes: Uint8Array;
  readonly finishedAt: string;
  readonly log: ClaimedLogProof;
}

export interface LogTrust {
  readonly logKeys: readonly NoteVerifier[];
  /** A checkpoint that the verifier has from elsewhere, with or without a proof; null: none. */
  readonly checkpoint: Uint8Array | null;
}

/**
 * Checks that the log has the receipt, and that what it says of itself holds together. Without a key of a log that is all
 * that can be said: anybody can make up a log, so what would pass is then not checked.
 */
export async function checkLogPlace(list: Checklist, place: LogPlace, trust: LogTrust): Promise<void> {
  const { entry, checkpoint: note, proof } = place.log;
  const judge = trust.logKeys.length > 0 ? passOrFail(list) : unprovenOrFail(list);
  judge(
    'log_entry',
    `entry ${entry.index} of the log is about this very envelope`,
    failureIf(
      entry.envelope_sha256 !== sha256(place.envelopeBytes),
      'log_entry_mismatch',
      'the entry of the log is about another envelope',
    ),
  );
  judge(
    'log_time',
    `logged at ${entry.time}, after it ended`,
    failureIf(entry.time < place.finishedAt, 'log_time_reversed', `logged at ${entry.time}, before it ended`),
  );
  const head = await checkOwnCheckpoint(list, note, trust.logKeys);
  if (head === null) {
    list.notChecked('log_inclusion', NOT_REACHED);
    if (trust.checkpoint !== null) list.notChecked('log_consistency', NOT_REACHED);
    return;
  }
  const claim = { leafHash: hashLeaf(encodeLogEntry(entry)), index: entry.index, ...head, proof };
  judge(
    'log_inclusion',
    `it is under that head: it can no longer be removed or changed unnoticed`,
    failureIf(
      !provesInclusion(claim),
      'log_inclusion_invalid',
      `it is not entry ${entry.index} under that head`,
    ),
  );
  if (trust.checkpoint !== null) await checkAgainst(list, head, trust.checkpoint, trust.logKeys);
}

type Judge = (name: LogCheckName, success: string, failure: Failure | null) => void;

function passOrFail(list: Checklist): Judge {
  return (name, success, failure) => {
    list.judge(name, success, failure);
  };
}

function unprovenOrFail(list: Checklist): Judge {
  return (name, _success, failure) => {
    if (failure === null)
      list.notChecked(name, 'the file does not contradict itself; no key of a log was given');
    else list.failed(name, failure.code, failure.detail);
  };
}

const NOT_REACHED = 'not reached: an earlier check failed';

export const FORKS =
  'whether the log showed others something else: compare checkpoints with them, or have them witnessed';

/** Null when nothing can be compared with it. Without a trusted log, what it says is only held against itself. */
async function checkOwnCheckpoint(
  list: Checklist,
  note: string,
  logKeys: readonly NoteVerifier[],
): Promise<TreeHead | null> {
  const parse = (): CheckpointUpdate => ({
    checkpoint: parseCheckpoint(new TextEncoder().encode(note)),
    since: null,
  });
  if (logKeys.length > 0) {
    const signed = await checkSignedHead(list, 'log_checkpoint', parse, logKeys);
    return signed?.checkpoint.head ?? null;
  }
  const { checkpoint } = attemptQuietly(list, 'log_checkpoint', parse) ?? { checkpoint: null };
  if (checkpoint !== null)
    list.notChecked('log_checkpoint', 'who signed the head of the log: no key of a log was given');
  return checkpoint?.head ?? null;
}

async function checkAgainst(
  list: Checklist,
  head: TreeHead,
  given: Uint8Array,
  logKeys: readonly NoteVerifier[],
): Promise<void> {
  const update = await checkSignedHead(list, 'new_checkpoint', () => parseAnyCheckpoint(given), logKeys);
  if (update === null) {
    list.notChecked('log_consistency', NOT_REACHED);
    return;
  }
  const { origin, size } = update.checkpoint.head;
  if (origin !== head.origin || size >= head.size) {
    checkContinues(list, head, update);
    return;
  }
  const detail = `the checkpoint has ${size} entries, the head of the receipt ${head.size}: give one that is not older`;
  list.failed('log_consistency', 'log_proof_missing', detail);
}

async function checkSignedHead(
  list: Checklist,
  name: LogCheckName,
  parse: () => CheckpointUpdate,
  logKeys: readonly NoteVerifier[],
): Promise<CheckpointUpdate | null> {
  const update = attemptQuietly(list, name, parse);
  if (update === null) return null;
  const { origin, size } = update.checkpoint.head;
  const failure = await distrust(update.checkpoint, logKeys);
  const success = `the log ${printable(origin)} signed this head, of size ${size}`;
  return list.judge(name, success, failure) ? update : null;
}

async function distrust(
  { head, note }: Checkpoint,
  logKeys: readonly NoteVerifier[],
): Promise<Failure | null> {
  const signers = logKeys.filter((key) => key.name === head.origin && key.isNamedBy(note));
  if (signers.length === 0) {
    const detail = `no trusted key of the log ${printable(head.origin)} signed it: give --key`;
    return { code: 'log_untrusted', detail };
  }
  const held = await Promise.all(signers.map((key) => key.verify(note)));
  return failureIf(!held.every(Boolean), 'signature_invalid', 'the signature of the log does not hold');
}

/** Whether the newer head has all entries of the older one. */
function checkContinues(list: Checklist, old: TreeHead, { checkpoint, since }: CheckpointUpdate): void {
  const { head } = checkpoint;
  const from = `from ${old.size} to ${head.size} entries`;
  list.judge(
    'log_consistency',
    old.size === head.size
      ? `both heads are of the same ${old.size} entries`
      : `the log only grew ${from}: nothing in it was changed or removed`,
    contradiction(old, head) ?? unproven(old, head, since, from),
  );
}

/** What is wrong with two heads whatever a proof says. */
function contradiction(old: TreeHead, head: TreeHead): Failure | null {
  if (old.origin !== head.origin) {
    const detail = `one is of the log ${printable(old.origin)}, the other of ${printable(head.origin)}`;
    return { code: 'log_differs', detail };
  }
  if (head.size < old.size) {
    const detail = `the newer head has ${head.size} entries, the older one ${old.size}: entries were removed`;
    return { code: 'log_truncated', detail };
  }
  return failureIf(
    head.size === old.size && !sameHash(head.root, old.root),
    'log_forked',
    `two different logs of ${old.size} entries were signed: keep both heads, together they are the evidence`,
  );
}

function unproven(
  old: TreeHead,
  head: TreeHead,
  since: CheckpointUpdate['since'],
  from: string,
): Failure | null {
  if (head.size === old.size) return null;
  if (old.size === 0)
    return failureIf(
      !sameHash(old.root, emptyRoot()),
      'log_rewritten',
      'the older head is not that of an empty log',
    );
  if (since?.oldSize !== old.size) {
    const detail = `no proof ${from} was given: "glasshouse log checkpoint --since OLD" makes one`;
    return { code: 'log_proof_missing', detail };
  }
  const claim = {
    oldSize: old.size,
    oldRoot: old.root,
    newSize: head.size,
    newRoot: head.root,
    proof: since.proof,
  };
  return failureIf(
    !provesConsistency(claim),
    'log_rewritten',
    `the proof ${from} does not hold: the newer log is not a continuation of the older one`,
  );
}

const JSON_WHITE_SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** A checkpoint, one with a proof, or that of a receipt file. Throws `checkpoint_invalid` or `receipt_invalid`. */
export function parseAnyCheckpoint(file: Uint8Array): CheckpointUpdate {
  const OPENING_BRACE = 0x7b;
  if (file.find((byte) => !JSON_WHITE_SPACE.has(byte)) !== OPENING_BRACE) return parseUpdate(file);
  const { log } = parseReceiptFile(file);
  if (log === null) throw new GlasshouseError('receipt_invalid', 'The receipt carries no checkpoint.');
  return { checkpoint: parseCheckpoint(new TextEncoder().encode(log.checkpoint)), since: null };
}

/** Null, and a failed check, for what cannot be parsed. */
function attemptQuietly<T>(list: Checklist, name: LogCheckName, parse: () => T): T | null {
  try {
    return parse();
  } catch (thrown) {
    if (!(thrown instanceof GlasshouseError)) throw thrown;
    list.failed(name, thrown.code, thrown.message);
    return null;
  }
}

function printable(origin: string): string {
  return /^[\w./:-]{1,80}$/.test(origin) ? origin : quote(origin);
}
