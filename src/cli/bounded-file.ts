import { open } from 'node:fs/promises';

import { asGlasshouseError, GlasshouseError } from '../base/errors.js';

/** Reads a whole file, or stdin for `-`, of at most `maxBytes`. Throws `not_found`, or `receipt_invalid` for more. */
export async function readBounded(file: string, maxBytes: number): Promise<Uint8Array> {
  const bytes = await readUpTo(file, maxBytes + 1);
  if (bytes.length > maxBytes)
    throw new GlasshouseError('receipt_invalid', `${file} has more than ${maxBytes} bytes.`);
  return bytes;
}

/** Reads the beginning of a file, or of stdin for `-`: nothing after the first `maxBytes`. Throws `not_found`. */
export async function readUpTo(file: string, maxBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    const stream = file === '-' ? process.stdin : (await open(file, 'r')).createReadStream();
    for await (const chunk of stream) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length >= maxBytes) break;
    }
  } catch (error) {
    throw cannotRead(file, error);
  }
  return Buffer.concat(chunks, Math.min(length, maxBytes));
}

export function cannotRead(file: string, error: unknown): GlasshouseError {
  if (error instanceof GlasshouseError) return error;
  return new GlasshouseError('not_found', `${file} cannot be read: ${asGlasshouseError(error).message}`, {
    cause: error,
  });
}
