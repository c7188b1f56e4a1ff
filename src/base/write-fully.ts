import { type FileHandle } from 'node:fs/promises';

/** Writes all of `bytes` at `position`; one write(2) may take less, for example on a disk that is nearly full. */
export async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
