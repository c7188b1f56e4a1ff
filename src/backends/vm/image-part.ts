import { type FileHandle, open } from 'node:fs/promises';

import { asGlasshouseError, GlasshouseError, systemErrorCode } from '../../base/errors.js';

/** A part was there when the image was verified; somebody may have removed it since. Throws `image_missing`. */
export async function openImagePart(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw asGlasshouseError(error, 'vmm_failed');
    const message = `${path} has vanished since the guest image was verified. Run "glasshouse image build".`;
    throw new GlasshouseError('image_missing', message, { cause: error });
  }
}
