import { randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { asGlasshouseError, GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { isAlive, thisProcess } from '../../base/process-identity.js';
import { emptyDirectory } from '../../base/remove-tree.js';

/** Characters of a boot's id that are in a name: the jailer takes names of 64. */
const BOOT_ID_LENGTH = 18;
const NAME = /^(\d{1,10})-(\d{1,20})-([0-9a-f-]{18})-[0-9a-f]{8}$/;
/** The state of a machine without its memory. */
const MAX_STATE_BYTES = 64 * 1024 * 1024;
/** How long a cgroup may still be busy with the end of its last thread: a second in all. */
const CGROUP_TRIES = 200;
const CGROUP_RETRY_MS = 5;
export const CGROUP_ROOT = '/sys/fs/cgroup';
export const CGROUP_PARENT = 'glasshouse';

/**
 * The directory that one Firecracker runs in, which is all that a jailed one sees. It is named after the process that
 * made it, so that the next start can sweep away what a killed one has left.
 */
export class Cell implements AsyncDisposable {
  /** Of the machine, for the jailer. */
  readonly name: string;
  /** What Firecracker sees as its working directory, or as `/`. */
  readonly root: string;
  readonly #directory: string;
  readonly #handle: FileHandle;
  #isGone = false;

  private constructor(name: string, directory: string, root: string, handle: FileHandle) {
    this.name = name;
    this.root = root;
    this.#directory = directory;
    this.#handle = handle;
  }

  /** As the jailer lays it out: BASE/PROGRAM/NAME/root. Throws `vmm_failed` or `disk_full`. */
  static async create(base: string, program: string): Promise<Cell> {
    const name = newName();
    const directory = path.join(base, program, name);
    const root = path.join(directory, 'root');
    try {
      await mkdir(root, { recursive: true, mode: 0o700 });
      const handle = await open(root, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      return new Cell(name, directory, root, handle);
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw asGlasshouseError(error, 'vmm_failed');
    }
  }

  /** A path that reaches a name here and is short enough for a socket, however long the cell's own is. */
  socketPath(file: string): string {
    return `/proc/self/fd/${this.#handle.fd}/${file}`;
  }

  /** A file that its user can read and not change. */
  async put(file: string, bytes: Uint8Array): Promise<void> {
    await writeFile(path.join(this.root, file), bytes, { mode: 0o444, flag: 'wx' });
  }

  /**
   * The reading end of a pipe that host/keep-machine has made here; the caller owns the descriptor. Throws `vmm_failed`
   * when there is none, or something else has its name.
   */
  openPipe(file: string): number {
    try {
      const descriptor = openSync(
        this.socketPath(file),
        constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
      if (fstatSync(descriptor).isFIFO()) return descriptor;
      closeSync(descriptor);
    } catch (error) {
      throw asGlasshouseError(error, 'vmm_failed');
    }
    throw new GlasshouseError('vmm_failed', `There is no pipe of the name ${file} in the cell of a machine.`);
  }

  /** What Firecracker has written here. Throws `vmm_failed` when it is no file of a reasonable size. */
  async take(file: string): Promise<Uint8Array> {
    await using source = await open(
      path.join(this.root, file),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
    const status = await source.stat();
    if (status.isFile() && status.size > 0 && status.size <= MAX_STATE_BYTES) return await source.readFile();
    throw new GlasshouseError('vmm_failed', 'The state of a frozen machine is unreasonably large or empty.');
  }

  /**
   * When nothing runs here any more. Idempotent; never rejects: what cannot be removed is left for the next sweep, and
   * costs nobody the receipt of what ran in it, or the error that says why it did not.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isGone) return;
    this.#isGone = true;
    try {
      await this.#handle.close();
      await removeCell(this.#directory);
    } catch (error) {
      process.emitWarning(`The cell ${this.name} of a Firecracker could not be removed (${codeOf(error)}).`);
    }
  }
}

/**
 * Removes what processes have left that are gone: also the cgroups of their machines. Resolves to what could not be
 * removed, a line each: what a machine has left must not keep others from starting.
 */
export async function sweepCells(base: string): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const program of await readdir(base)) {
    for (const name of await readdir(path.join(base, program))) {
      if (!isAbandoned(name)) continue;
      await removeCell(path.join(base, program, name)).catch((error: unknown) => {
        problems.push(`the cell ${name}, which a machine has left, could not be removed (${codeOf(error)})`);
      });
    }
  }
  return problems;
}

/**
 * The cgroup first: one that can be removed has no process left that could write to the cell. Where it is still in use,
 * the cell keeps its name for the next sweep.
 */
async function removeCell(directory: string): Promise<void> {
  const hasEnded = await removeCgroup(path.basename(directory));
  await emptyDirectory(directory);
  if (hasEnded) await rm(directory, { recursive: true, force: true });
}

/** False: something has been in it for too long. */
async function removeCgroup(name: string): Promise<boolean> {
  for (let triesLeft = CGROUP_TRIES; triesLeft > 0; triesLeft -= 1) {
    try {
      await rmdir(path.join(CGROUP_ROOT, CGROUP_PARENT, name));
      return true;
    } catch (error) {
      const code = systemErrorCode(error) ?? '';
      // ENOENT: it had none. EROFS: none can be made here.
      if (['ENOENT', 'ENOTDIR', 'EROFS'].includes(code)) return true;
      if (code !== 'EBUSY') throw asGlasshouseError(error);
    }
    // Its last thread is still ending: nothing tells us when it has.
    await sleep(CGROUP_RETRY_MS);
  }
  return false;
}

/** Not the message, which has names in it that the machine chose. */
function codeOf(error: unknown): string {
  return systemErrorCode(error) ?? asGlasshouseError(error).code;
}

function newName(): string {
  const { pid, startTicks, bootId } = thisProcess();
  return `${pid}-${startTicks}-${bootId.slice(0, BOOT_ID_LENGTH)}-${randomBytes(4).toString('hex')}`;
}

function isAbandoned(name: string): boolean {
  const [, pid, startTicks, boot] = NAME.exec(name) ?? [];
  if (pid === undefined || startTicks === undefined || boot === undefined) return false;
  const { bootId } = thisProcess();
  if (!bootId.startsWith(boot)) return true;
  return !isAlive({ pid: Number(pid), startTicks: Number(startTicks), bootId });
}
