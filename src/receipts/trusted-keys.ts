import { GlasshouseError } from '../base/errors.js';
import { NoteVerifier } from './signed-note.js';
import { quote } from './text.js';
import { KeyVerifier } from './verifier.js';

/** Whom a verifier believes. */
export interface TrustedKeys {
  /** Sign receipts. */
  readonly receiptKeys: readonly KeyVerifier[];
  /** Sign the heads of logs. */
  readonly logKeys: readonly NoteVerifier[];
}

const PEM_BEGIN = '-----BEGIN PUBLIC KEY-----';
const PEM_END = '-----END PUBLIC KEY-----';

/**
 * Reads a file of public keys, what `glasshouse keys show --pem` prints: PEM blocks are keys of receipts, lines of the
 * form `<name>+<hash>+<base64>` keys of logs (c2sp.org/signed-note). Throws `key_invalid` for any other line, and for a
 * file without a key.
 */
export function parseTrustedKeys(text: string): TrustedKeys {
  const receiptKeys: KeyVerifier[] = [];
  const logKeys: NoteVerifier[] = [];
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  for (let next = 0; next < lines.length; next += 1) {
    const line = lines[next] ?? '';
    if (line === PEM_BEGIN) {
      const end = lines.indexOf(PEM_END, next);
      receiptKeys.push(KeyVerifier.fromPem(lines.slice(next, end === -1 ? undefined : end + 1).join('\n')));
      next = end === -1 ? lines.length : end;
    } else if (line.includes('+')) {
      logKeys.push(NoteVerifier.parse(line));
    } else if (line !== '') {
      throw new GlasshouseError(
        'key_invalid',
        `${quote(line)} is no public key in PEM form, and no key of a log.`,
      );
    }
  }
  if (receiptKeys.length + logKeys.length === 0)
    throw new GlasshouseError('key_invalid', 'There is no public key in it.');
  return { receiptKeys, logKeys };
}
