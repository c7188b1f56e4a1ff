import { type FileHandle, open, unlink } from 'node:fs/promises';

/** open(2); Node.js does not name it. */
const O_PATH = 0o10000000;

/**
 * Takes the name of a Unix socket away: from then on /proc/self/fd/N of the result, or of what inherits it, is where to
 * connect. The caller closes it.
 */
export async function takeNameAway(name: string): Promise<FileHandle> {
  const socket = await open(name, O_PATH);
  try {
    await unlink(name);
    return socket;
  } catch (error) {
    await socket.close();
    throw error;
  }
}
