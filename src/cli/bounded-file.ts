import { open } from 'node:fs/promises';

import { asGlasshouseError, GlasshouseError } from '../base/errors.js';

/** Reads a whole file, or stdin for `-`, of at most `maxBytes`. */
export async function readBounded(file: string, maxBytes: number): Promise<Uint8Array> {
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

export function cannotRead(file: string, error: unknown): GlasshouseError {
  if (error instanceof GlasshouseError) return error;
  return new GlasshouseError('not_found', `${file} cannot be read: ${asGlasshouseError(error).message}`, {
    cause: error,
  });
}
