import { chmod, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { GlasshouseError, asGlasshouseError } from '../base/errors.js';
import { sha256 } from './digest.js';
import { readInitramfs, writeInitramfs } from './initramfs.js';
import { unpackKernel } from './kernel.js';
import { type GuestImage, openImage } from './locate.js';
import { lockDirectory } from './lock.js';
import { type ImageManifest } from './manifest.js';
import {
  WORK_PREFIX,
  publishManifest,
  publishPart,
  removeDeadBuilds,
  removeWorkDirectory,
} from './publish.js';
import { recipeSha256 } from './root-recipe.js';
import { bootstrapRoot, makeRootFileSystem } from './root.js';
import { type BuildContext } from './tools.js';

/** The Debian release of the guest when nothing else is asked for. */
export const DEFAULT_SUITE = 'bookworm';

export interface BuildImageOptions {
  /** Where the image goes; made when missing. */
  readonly directory: string;
  /** Path of guest init, a static executable. */
  readonly initBinary: string;
  /** Name of the Debian release. */
  readonly suite: string;
  /** Where packages come from, as mmdebstrap takes it; null for Debian's own servers. */
  readonly mirror: string | null;
  /** Told what is being done, in a few words, for people. */
  readonly onProgress: (message: string) => void;
  /** Ends the build; an older image stays as it is. */
  readonly signal: AbortSignal;
}

/** What ensureImage() had to do. */
export type ImageChange = 'none' | 'initramfs' | 'everything';

/**
 * Builds a guest image from the newest packages of the release. An older image in the directory stays in use
 * until the new one is complete, and for good when the build fails or is interrupted.
 *
 * @throws GlasshouseError `image_build_failed`, `tool_missing`, `canceled`, `disk_full`
 */
export async function buildImage(options: BuildImageOptions): Promise<ImageManifest> {
  return inWorkDirectory(options, (context, directory) => buildEverything(options, context, directory));
}

/**
 * Makes sure that the directory holds an image with this guest init, built by the current recipe, and does no
 * more for it than it has to: nothing, a new initramfs, or everything.
 *
 * @throws GlasshouseError like buildImage()
 */
export async function ensureImage(
  options: BuildImageOptions,
): Promise<{ readonly manifest: ImageManifest; readonly change: ImageChange }> {
  const init = await readInit(options.initBinary);
  const initSha256 = sha256(init);
  const existing = await openUsableImage(options);
  if (existing?.manifest.guestInitSha256 === initSha256)
    return { manifest: existing.manifest, change: 'none' };
  return inWorkDirectory(options, async (context, directory) => {
    // Another process may have built it between the first look and the lock.
    const image = await openUsableImage(options);
    if (image === null) {
      return { manifest: await buildEverything(options, context, directory), change: 'everything' };
    }
    options.onProgress('putting guest init into the initramfs');
    const { modules } = readInitramfs(await readFile(image.initramfsPath));
    const initramfs = await publishInitramfs(context, directory, writeInitramfs({ init, modules }));
    const manifest: ImageManifest = {
      ...image.manifest,
      created: timestamp(context),
      guestInitSha256: initSha256,
      parts: { ...image.manifest.parts, initramfs },
    };
    await publishManifest(directory, context.workDirectory, manifest);
    return { manifest, change: 'initramfs' };
  });
}

async function buildEverything(
  options: BuildImageOptions,
  context: BuildContext,
  directory: string,
): Promise<ImageManifest> {
  if (process.arch !== 'x64') {
    throw new GlasshouseError('image_build_failed', 'Guest images can only be built on x86-64.');
  }
  const init = await readInit(options.initBinary);
  options.onProgress(`downloading and unpacking Debian ${options.suite}`);
  const root = await bootstrapRoot(context, options.suite, options.mirror);
  options.onProgress('unpacking the kernel');
  const kernel = await unpackKernel(context, root.kernelPackage);
  options.onProgress('making the root file system');
  const rootFile = join(context.workDirectory, 'root.ext4');
  await makeRootFileSystem(context, root, rootFile);
  const kernelFile = join(context.workDirectory, 'kernel.elf');
  await writeFile(kernelFile, kernel.elf);
  const initramfs = writeInitramfs({ init, modules: kernel.modules });
  context.signal.throwIfAborted();
  const manifest: ImageManifest = {
    suite: options.suite,
    architecture: 'amd64',
    kernelRelease: kernel.release,
    created: timestamp(context),
    recipeSha256: recipeSha256(options.suite, options.mirror),
    guestInitSha256: sha256(init),
    packages: root.packages,
    parts: {
      kernel: await publishPart(directory, 'kernel', kernelFile),
      initramfs: await publishInitramfs(context, directory, initramfs),
      root: await publishPart(directory, 'root', rootFile),
    },
  };
  await publishManifest(directory, context.workDirectory, manifest);
  return manifest;
}

async function publishInitramfs(
  context: BuildContext,
  directory: string,
  initramfs: Uint8Array,
): Promise<ImageManifest['parts']['initramfs']> {
  const file = join(context.workDirectory, 'initramfs.cpio');
  await writeFile(file, initramfs);
  return publishPart(directory, 'initramfs', file);
}

/** The image in the directory, if there is one that this recipe would make; null if it has to be built. */
async function openUsableImage(options: BuildImageOptions): Promise<GuestImage | null> {
  try {
    const image = await openImage(options.directory);
    return image.manifest.recipeSha256 === recipeSha256(options.suite, options.mirror) ? image : null;
  } catch (error) {
    const { code, message } = asGlasshouseError(error);
    if (code === 'image_missing') return null;
    if (code !== 'image_corrupt') throw error;
    options.onProgress(`building the image anew: ${message}`);
    return null;
  }
}

/** Runs a build with the directory locked and a work directory inside it, which is removed in any case. */
async function inWorkDirectory<Result>(
  options: BuildImageOptions,
  build: (context: BuildContext, directory: string) => Promise<Result>,
): Promise<Result> {
  const directory = resolve(options.directory);
  try {
    await mkdir(directory, { recursive: true, mode: 0o755 });
    await using locked = await lockDirectory(directory);
    await removeDeadBuilds(locked.directory);
    const workDirectory = await mkdtemp(join(directory, WORK_PREFIX));
    try {
      // apt gives up root's rights to download, and mmdebstrap may have to become another user.
      await chmod(workDirectory, 0o755);
      return await build({ workDirectory, signal: options.signal, epochSeconds: readEpoch() }, directory);
    } finally {
      await removeWorkDirectory(workDirectory);
    }
  } catch (error) {
    if (options.signal.aborted) {
      throw new GlasshouseError('canceled', 'The build of the guest image was canceled.', { cause: error });
    }
    const failure = asGlasshouseError(error, 'image_build_failed');
    if (failure.code !== 'tool_failed') throw failure;
    throw new GlasshouseError(
      'image_build_failed',
      `The guest image could not be built. ${failure.message}`,
      {
        cause: failure,
      },
    );
  }
}

async function readInit(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new GlasshouseError(
      'image_build_failed',
      `Guest init, ${path}, cannot be read. Build it with "make -C guest", or run "npm run setup".`,
      { cause: error },
    );
  }
}

/** SOURCE_DATE_EPOCH where it is set (https://reproducible-builds.org/specs/source-date-epoch/), else now. */
function readEpoch(): number {
  const { SOURCE_DATE_EPOCH: epoch } = process.env;
  if (epoch === undefined || epoch === '') return Math.floor(Date.now() / 1000);
  if (!/^[0-9]{1,11}$/.test(epoch)) {
    throw new GlasshouseError('image_build_failed', 'SOURCE_DATE_EPOCH is not a number of seconds.');
  }
  return Number(epoch);
}

function timestamp(context: BuildContext): string {
  return new Date(context.epochSeconds * 1000).toISOString();
}
