import { runOrThrow, runToCompletion } from '../src/base/child-process.js';
import { type ScratchDirectory } from './contract/subject.js';

/** A file system of few bytes, for what happens when a disk is full. Needs reasonNotToMount() to be null. */
export class SmallDisk implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** `size` as mount(8) takes it for a tmpfs, for example `4m`. */
  static async mount(scratch: ScratchDirectory, name: string, size: string): Promise<SmallDisk> {
    const path = scratch.make(`disk-${name}`);
    await runOrThrow('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]);
    return new SmallDisk(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await runOrThrow('umount', [this.path]);
  }
}

export async function reasonNotToMount(scratch: ScratchDirectory): Promise<string | null> {
  if (process.getuid?.() !== 0) return 'only root can mount a small file system';
  const directory = scratch.make('mount-trial');
  const tried = await runToCompletion('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory]);
  if (tried.exitCode !== 0) return `mount failed: ${tried.stderr.toString().trim()}`;
  await runOrThrow('umount', [directory]);
  return null;
}
