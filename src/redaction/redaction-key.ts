import { randomBytes } from 'node:crypto';

import { GlasshouseError } from '../base/errors.js';
import { readOrCreatePrivateFile } from '../base/private-file.js';

const KEY_BYTES = 32;

/**
 * The key behind the marks of this installation, 32 random bytes as hexadecimal digits in a file of mode 0600, made at
 * first use. Throws `key_unsafe` when others can read it, `key_invalid` when it is no key.
 */
export function openRedactionKey(file: string): Uint8Array {
  const text = readOrCreatePrivateFile(file, () => `${randomBytes(KEY_BYTES).toString('hex')}\n`);
  if (!/^[0-9a-f]{64}\n?$/.test(text))
    throw new GlasshouseError('key_invalid', `The redaction key ${file} is not 64 hexadecimal digits.`);
  return Buffer.from(text.trim(), 'hex');
}
