import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';

import { killChild } from '../../base/child-process.js';
import { asGlasshouseError, GlasshouseError } from '../../base/errors.js';

const HELPER_MISSING = 'Run "npm run setup".';

/**
 * Memory of a guest in a file without a name. Once sealed, nobody can change it any more, not even a monitor that
 * was taken over and holds a descriptor that it may write to: the kernel refuses (memfd_create(2)).
 */
export class SealableMemory implements AsyncDisposable {
  readonly sizeBytes: number;
  /** Read and write. */
  readonly file: FileHandle;
  readonly #helper: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  private constructor(
    sizeBytes: number,
    file: FileHandle,
    helper: ChildProcess,
    answers: AsyncIterator<string>,
  ) {
    this.sizeBytes = sizeBytes;
    this.file = file;
    this.#helper = helper;
    this.#answers = answers;
  }

  /** `helper`: path of host/sealed-memory. Throws `tool_missing` or `tool_failed`. */
  static async create(helper: string, sizeBytes: number): Promise<SealableMemory> {
    const child = spawn(helper, [String(sizeBytes)], { stdio: ['pipe', 'pipe', 'ignore'], env: {} });
    // What is wrong shows in the answer that does not come.
    child.on('error', () => undefined);
    child.stdin.on('error', () => undefined);
    child.stdout.setEncoding('utf8');
    const answers: AsyncIterator<string> = child.stdout[Symbol.asyncIterator]();
    try {
      const descriptor = Number.parseInt(await nextAnswer(answers), 10);
      const file = await open(`/proc/${child.pid ?? 0}/fd/${descriptor}`, 'r+');
      return new SealableMemory(sizeBytes, file, child, answers);
    } catch (error) {
      killChild(child);
      if (child.pid === undefined)
        throw new GlasshouseError('tool_missing', `${helper} cannot be started. ${HELPER_MISSING}`, {
          cause: error,
        });
      throw asGlasshouseError(error, 'tool_failed');
    }
  }

  /** From here on nothing can change it. No one may have it mapped for shared writing. Throws `tool_failed`. */
  async seal(): Promise<void> {
    this.#helper.stdin?.write('\n');
    const answer = await nextAnswer(this.#answers);
    if (answer.trim() !== 'sealed')
      throw new GlasshouseError('tool_failed', 'The memory could not be sealed.');
    await this.#endHelper();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endHelper();
    await this.file.close();
  }

  async #endHelper(): Promise<void> {
    if (this.#helper.exitCode !== null || this.#helper.signalCode !== null) return;
    const ended = once(this.#helper, 'exit');
    this.#helper.stdin?.end();
    await ended;
  }
}

async function nextAnswer(answers: AsyncIterator<string>): Promise<string> {
  const next = await answers.next();
  if (next.done === true)
    throw new GlasshouseError('tool_failed', 'sealed-memory ended without an answer; is memory short?');
  return next.value;
}
