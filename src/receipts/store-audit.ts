import { GlasshouseError } from '../base/errors.js';
import { type Check, Checklist, failureIf } from './check.js';
import { parseCheckpoint, type TreeHead } from './checkpoint.js';
import { sha256 } from './crypto.js';
import { parseLogEntry } from './log-entry.js';
import { hashLeaf, sameHash } from './merkle.js';
import { completedHashes, type ReadHash, rootOf, storedPosition } from './merkle-tree.js';
import { type NoteVerifier } from './signed-note.js';
import { type ReceiptStore } from './store.js';

/** Rows that are read at a time. */
const PAGE = 256;

export interface AuditReport {
  readonly valid: boolean;
  /** Entries of the log. */
  readonly size: number;
  readonly checks: readonly Check[];
}

/**
 * Builds the log anew out of the stored receipts and holds entries, hashes and every signed head against it: finds rows
 * that were edited from outside, and a database that is older than the newest head that is remembered beside it. It
 * reads all receipts and holds 64 bytes for each. It does not notice a whole data directory of an earlier day: for that,
 * compare with a checkpoint that somebody else has.
 */
export async function auditLog(store: ReceiptStore, logKeys: readonly NoteVerifier[]): Promise<AuditReport> {
  const list = new Checklist();
  // In this order: whatever was remembered before, the database has, also while others append.
  const remembered = await recallSigned(store, logKeys);
  const size = store.log.latest()?.size ?? 0;
  const hashes = new RebuiltHashes();
  const entriesHold = attempt(list, 'log_entry', `all ${size} entries are about the stored receipts`, () => {
    rebuild(store, size, hashes);
  });
  if (entriesHold) {
    attempt(list, 'log_inclusion', 'the stored hashes are those of the entries', () => {
      hashes.compare(store.log.readHash);
    });
    const headsHold = await auditHeads(list, store, size, hashes, logKeys);
    if (headsHold) auditRemembered(list, remembered, size, hashes);
  }
  list.notChecked(
    'completeness',
    'whether the data directory is that of an earlier day: compare checkpoints',
  );
  return { valid: !list.hasFailure, size, checks: list.checks };
}

/** The hashes of all full subtrees, in the order of storedPosition(). */
class RebuiltHashes {
  readonly #hashes: Uint8Array[] = [];

  readonly read: ReadHash = (level, index) => {
    const hash = this.#hashes[storedPosition(level, index)];
    if (hash === undefined) throw corrupt('a head was signed over more entries than there are');
    return hash;
  };

  add(index: number, entry: Uint8Array): void {
    this.#hashes.push(...completedHashes(index, hashLeaf(entry), this.read));
  }

  compare(stored: ReadHash): void {
    for (let level = 0, width = 1; storedPosition(level, 0) < this.#hashes.length; level += 1, width *= 2)
      for (let index = 0; storedPosition(level, index) < this.#hashes.length; index += 1)
        if (!sameHash(stored(level, index), this.read(level, index)))
          throw corrupt(`the hash over entries ${index * width} to ${(index + 1) * width - 1} is another`);
  }
}

function rebuild(store: ReceiptStore, size: number, hashes: RebuiltHashes): void {
  let time = '';
  for (let begin = 0; begin < size; begin += PAGE) {
    const envelopes = store.envelopes(begin, Math.min(PAGE, size - begin));
    for (const [offset, bytes] of store.log.entries(begin, envelopes.length).entries()) {
      const index = begin + offset;
      const entry = parseLogEntry(bytes);
      const envelope = envelopes[offset];
      if (envelope === undefined || entry.index !== index || entry.envelope_sha256 !== sha256(envelope))
        throw corrupt(`entry ${index} is not about receipt ${index + 1}`);
      if (entry.time < time)
        throw new GlasshouseError('log_time_reversed', `Entry ${index} was logged before the one before it.`);
      time = entry.time;
      hashes.add(index, bytes);
    }
  }
}

/** Those of the `entries` that were rebuilt: later ones are of receipts that were appended meanwhile. */
async function auditHeads(
  list: Checklist,
  store: ReceiptStore,
  entries: number,
  hashes: RebuiltHashes,
  logKeys: readonly NoteVerifier[],
): Promise<boolean> {
  let count = 0;
  let after = 0;
  const next = (): ReturnType<ReceiptStore['log']['checkpointsAfter']> =>
    store.log.checkpointsAfter(after, PAGE).filter(({ size }) => size <= entries);
  for (let page = next(); page.length > 0; page = next()) {
    for (const { size, note } of page) {
      const failure = await headFailure(note, size, hashes, logKeys);
      if (failure !== null) {
        list.failed('log_checkpoint', failure.code, failure.message);
        return false;
      }
      after = size;
      count += 1;
    }
  }
  list.passed('log_checkpoint', `all ${count} signed heads are those of these entries`);
  return true;
}

/** Null for one that no trusted key signed, too. */
async function recallSigned(store: ReceiptStore, logKeys: readonly NoteVerifier[]): Promise<TreeHead | null> {
  const remembered = store.log.recall();
  if (remembered === null) return null;
  const { head, note } = remembered.checkpoint;
  const signer = logKeys.find((key) => key.name === head.origin && key.isNamedBy(note));
  return signer !== undefined && (await signer.verify(note)) ? head : null;
}

/** The newest head that was committed is remembered beside the database: one of an earlier day does not have it. */
function auditRemembered(
  list: Checklist,
  remembered: TreeHead | null,
  size: number,
  hashes: RebuiltHashes,
): void {
  if (remembered === null) {
    list.notChecked('log_consistency', 'whether a later head was signed: none is remembered');
    return;
  }
  const entries = `${remembered.size} entries`;
  list.judge(
    'log_consistency',
    `it has the ${entries} of the newest head that is remembered`,
    failureIf(
      remembered.size > size,
      'log_truncated',
      `a head of ${entries} was signed, and only ${size} are here: an older database was put back`,
    ) ??
      failureIf(
        !sameHash(remembered.root, rootOf(remembered.size, hashes.read)),
        'log_rewritten',
        `a head of other ${entries} was signed: an older database was put back`,
      ),
  );
}

async function headFailure(
  text: string,
  size: number,
  hashes: RebuiltHashes,
  logKeys: readonly NoteVerifier[],
): Promise<GlasshouseError | null> {
  try {
    const { head, note } = parseCheckpoint(new TextEncoder().encode(text));
    if (head.size !== size || !sameHash(head.root, rootOf(size, hashes.read)))
      return corrupt(`the head of ${size} entries was signed over others`);
    const signer = logKeys.find((key) => key.name === head.origin && key.isNamedBy(note));
    if (signer === undefined)
      return new GlasshouseError('log_untrusted', `The head of ${size} entries was signed by another key.`);
    if (await signer.verify(note)) return null;
    return new GlasshouseError(
      'signature_invalid',
      `The signature of the head of ${size} entries does not hold.`,
    );
  } catch (thrown) {
    if (thrown instanceof GlasshouseError) return thrown;
    throw thrown;
  }
}

function attempt(
  list: Checklist,
  name: 'log_entry' | 'log_inclusion',
  success: string,
  step: () => void,
): boolean {
  return (
    list.attempt(name, success, () => {
      step();
      return true;
    }) === true
  );
}

function corrupt(how: string): GlasshouseError {
  return new GlasshouseError('log_corrupt', `The stored log was changed from outside: ${how}.`);
}
