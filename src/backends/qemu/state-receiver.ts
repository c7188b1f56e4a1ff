import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, type FileHandle } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';

import { asGlasshouseError, GlasshouseError } from '../../base/errors.js';
import { takeNameAway } from './nameless-socket.js';

/** The state of a machine without its memory is some 70 KB. */
const MAX_STATE_BYTES = 64 * 1024 * 1024;

/**
 * Takes the state that a QEMU sends when it is frozen. QEMU can only send it to a socket with a name; this one has
 * lost its name by the time that QEMU, which inherits a descriptor of it, runs.
 */
export class StateReceiver implements AsyncDisposable {
  /** For QEMU to inherit; /proc/self/fd/N of it is where to connect. */
  readonly socket: FileHandle;
  readonly #server: Server;
  #closed = false;

  private constructor(server: Server, socket: FileHandle) {
    this.#server = server;
    this.socket = socket;
  }

  /** `directory` must be closed to other users: for a moment the socket has a name in it that all may connect to. */
  static async listen(directory: string): Promise<StateReceiver> {
    const name = path.join(directory, `.state-${randomBytes(8).toString('hex')}`);
    const server = createServer().listen(name);
    try {
      await once(server, 'listening');
      await chmod(name, 0o666);
      return new StateReceiver(server, await takeNameAway(name));
    } catch (error) {
      server.close();
      throw asGlasshouseError(error, 'vmm_failed');
    }
  }

  /** Resolves when the sender has closed the connection. Throws `vmm_failed`. */
  async receive(signal: AbortSignal): Promise<Uint8Array> {
    const [socket] = (await once(this.#server, 'connection', { signal })) as [Socket];
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_STATE_BYTES)
        throw new GlasshouseError('vmm_failed', 'The state of a frozen machine is unreasonably large.');
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#server.close();
    await this.socket.close();
  }
}
