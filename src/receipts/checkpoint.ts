/** The signed head of a log: https://c2sp.org/tlog-checkpoint */
import { GlasshouseError } from '../base/errors.js';
import { decodeBase64, encodeBase64, isBase64 } from './base64.js';
import { keyIdOf } from './crypto.js';
import { HASH_BYTES, MAX_PROOF_HASHES } from './merkle.js';
import { MAX_NOTE_BYTES, parseNote, type SignedNote } from './signed-note.js';
import { type PublicKey } from './spki.js';
import { decodeUtf8 } from './text.js';

export interface TreeHead {
  /** Names the log. */
  readonly origin: string;
  /** Leaves of the tree. */
  readonly size: number;
  readonly root: Uint8Array;
}

export interface Checkpoint {
  readonly head: TreeHead;
  readonly note: SignedNote;
}

/** A checkpoint, and why the tree of an older one is the beginning of its tree. */
export interface CheckpointUpdate {
  readonly checkpoint: Checkpoint;
  /** Null for a bare checkpoint. */
  readonly since: { readonly oldSize: number; readonly proof: readonly Uint8Array[] } | null;
}

const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/;
const ORIGIN_KEY_DIGITS = 32;

/** The name of the log whose checkpoints this key signs. */
export function originOf(publicKey: PublicKey): string {
  return `glasshouse-log/${keyIdOf(publicKey).slice(0, ORIGIN_KEY_DIGITS)}`;
}

/** What is signed. */
export function encodeTreeHead({ origin, size, root }: TreeHead): string {
  return `${origin}\n${size}\n${encodeBase64(root)}\n`;
}

/** Takes a signed note over a tree head without extension lines. Throws `checkpoint_invalid`. */
export function parseCheckpoint(bytes: Uint8Array): Checkpoint {
  const note = parseNote(bytes);
  const [origin = '', size = '', root = '', ...rest] = note.text.split('\n');
  const hash = parseHash(root);
  const isWhole = origin !== '' && rest.length === 1 && rest[0] === '';
  if (!isWhole || hash === null) throw malformed('it has not the three lines of origin, size and root');
  return { head: { origin, size: parseSize(size), root: hash }, note };
}

/**
 * A checkpoint with the proof that it continues an older one of `oldSize` leaves: the body of `add-checkpoint` in
 * https://c2sp.org/tlog-witness
 */
export function encodeUpdate(note: string, oldSize: number, proof: readonly Uint8Array[]): string {
  return [`old ${oldSize}`, ...proof.map(encodeBase64), '', note].join('\n');
}

/** Takes an update or a bare checkpoint. Throws `checkpoint_invalid`. */
export function parseUpdate(bytes: Uint8Array): CheckpointUpdate {
  const text = bytes.length > MAX_NOTE_BYTES ? null : decodeUtf8(bytes);
  if (text?.startsWith('old ') !== true) return { checkpoint: parseCheckpoint(bytes), since: null };
  const end = text.indexOf('\n\n');
  if (end === -1) throw malformed('no blank line stands after the proof');
  const [old = '', ...lines] = text.slice(0, end).split('\n');
  const proof = lines.map(parseHash).filter((hash) => hash !== null);
  if (proof.length !== lines.length || proof.length > MAX_PROOF_HASHES)
    throw malformed('its proof has a line that is no hash, or too many lines');
  return {
    checkpoint: parseCheckpoint(new TextEncoder().encode(text.slice(end + 2))),
    since: { oldSize: parseSize(old.slice('old '.length)), proof },
  };
}

function parseSize(text: string): number {
  const size = Number(text);
  if (DECIMAL.test(text) && Number.isSafeInteger(size)) return size;
  throw malformed('its size is not a number of leaves');
}

/** Null for anything but 32 bytes in canonical base64. */
export function parseHash(base64: string): Uint8Array | null {
  const hash = isBase64(base64) ? decodeBase64(base64) : new Uint8Array();
  return hash.length === HASH_BYTES ? hash : null;
}

function malformed(why: string): GlasshouseError {
  return new GlasshouseError('checkpoint_invalid', `The checkpoint is malformed: ${why}.`);
}
