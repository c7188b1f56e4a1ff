import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { runOrThrow } from '../../src/base/child-process.js';
import { asGlasshouseError } from '../../src/base/errors.js';
import { sha256, sha256OfFile } from '../../src/images/digest.js';
import { readInitramfs } from '../../src/images/initramfs.js';
import { type GuestImage, defaultImageDirectory, openImage } from '../../src/images/locate.js';
import { type ImagePart, PART_NAMES } from '../../src/images/manifest.js';

/** Holds the image that the set-up has built against what the rest of Glasshouse expects of it. */
describe('the built guest image', async () => {
  const image = await findImage();
  if (image === null) {
    it('is complete', { skip: 'no guest image has been built' });
    return;
  }

  it('has the parts that its manifest describes', async () => {
    for (const name of PART_NAMES) {
      const part: ImagePart = image.manifest.parts[name];
      assert.equal(await sha256OfFile(join(image.directory, part.file)), part.sha256, name);
    }
  });

  it('names a version of every package, and of the kernel', () => {
    const names = Object.keys(image.manifest.packages);
    for (const name of ['python3', 'libc6', 'coreutils', `linux-image-${image.manifest.kernelRelease}`]) {
      assert.ok(names.includes(name), name);
    }
  });

  it('has an ELF kernel', async () => {
    const kernel = await readFile(image.kernelPath);
    assert.equal(kernel.toString('hex', 0, 4), '7f454c46');
  });

  it('boots into guest init with the drivers in an order in which they load', async () => {
    const { init, modules } = readInitramfs(await readFile(image.initramfsPath));
    assert.equal(sha256(init), image.manifest.guestInitSha256);
    assert.deepEqual(
      modules.map(({ name }) => name),
      [
        'virtio_ring',
        'virtio',
        'virtio_mmio',
        'virtio_blk',
        'virtio_console',
        'virtio_rng',
        'vsock',
        'vmw_vsock_virtio_transport_common',
        'vmw_vsock_virtio_transport',
      ],
    );
  });

  it('has a sound root file system', async () => {
    await runOrThrow('e2fsck', ['-f', '-n', image.rootPath], { env: sbinEnvironment() });
  });

  it('has a root without files that give anyone other rights', async () => {
    const files = await listTree(image, '/');
    assert.ok(files.length > 1000, 'the listing is complete');
    assert.deepEqual(
      files.filter(({ mode }) => (mode & 0o6000) !== 0),
      [],
    );
  });

  it('has every mount point, and a workspace that belongs to the sandbox user', async () => {
    const top = await listDirectory(image, '/');
    for (const name of ['workspace', 'run', 'tmp', 'proc', 'sys', 'dev']) {
      assert.ok(
        top.some((entry) => entry.path === `/${name}` && isDirectory(entry)),
        name,
      );
    }
    const workspace = top.find((entry) => entry.path === '/workspace');
    assert.deepEqual([workspace?.owner, workspace?.group], [1000, 1000]);
    const passwd = await debugfs(image, 'cat /etc/passwd');
    assert.match(passwd, /^sandbox:x:1000:1000:sandbox:\/workspace:\/bin\/sh$/m);
  });

  it('has compiled Python, which is used whatever the time of its source', async () => {
    const files = await listTree(image, '/usr/lib');
    const json = files.find(({ path }) => /\/python3\.\d+\/json\/__pycache__\/decoder\..*\.pyc$/.test(path));
    assert.ok(json !== undefined);
    const compiled = await runOrThrow('debugfs', ['-R', `cat ${json.path}`, image.rootPath], {
      env: sbinEnvironment(),
    });
    // PEP 552: flags 0b01, a hash that is not checked.
    assert.equal(compiled.stdout.readUInt32LE(4), 1);
  });

  it('brings nothing of the host, of package management, or of documentation', async () => {
    const files = await listTree(image, '/');
    const unwanted =
      /^\/(?:etc\/(?:apt|dpkg|hostname|resolv\.conf)|var\/lib\/(?:apt|dpkg)|usr\/bin\/(?:apt|dpkg)|usr\/share\/(?:man|locale)\/.|\.glasshouse)/;
    assert.deepEqual(
      files.filter(({ path }) => unwanted.test(path)),
      [],
    );
  });

  for (const tool of ['sh', 'python3', 'ls', 'cat', 'grep', 'sed', 'tar', 'gzip', 'find', 'awk']) {
    it(`has ${tool}`, async () => {
      const bin = await listDirectory(image, '/usr/bin');
      assert.ok(bin.some(({ path }) => path === `/usr/bin/${tool}`));
    });
  }
});

interface Entry {
  readonly path: string;
  readonly mode: number;
  readonly owner: number;
  readonly group: number;
}

async function findImage(): Promise<GuestImage | null> {
  try {
    return await openImage(defaultImageDirectory());
  } catch (error) {
    if (asGlasshouseError(error).code === 'image_missing') return null;
    throw error;
  }
}

async function listTree(image: GuestImage, directory: string): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  let level = await listDirectory(image, directory);
  while (level.length > 0) {
    entries.push(...level);
    level = await listDirectories(
      image,
      level.filter(isDirectory).map(({ path }) => path),
    );
  }
  return entries;
}

async function listDirectory(image: GuestImage, directory: string): Promise<readonly Entry[]> {
  return listDirectories(image, [directory]);
}

/** Lists directories with one call of debugfs: `ls -p` prints `/inode/mode/owner/group/name/size/`. */
async function listDirectories(image: GuestImage, directories: readonly string[]): Promise<readonly Entry[]> {
  if (directories.length === 0) return [];
  const commands = directories.map((directory) => `ls -p "${directory}"\n`).join('');
  const listed = await runOrThrow('debugfs', ['-f', '-', image.rootPath], {
    env: sbinEnvironment(),
    stdin: Buffer.from(commands),
  });
  const entries: Entry[] = [];
  let directory = '';
  for (const line of listed.stdout.toString().split('\n')) {
    const command = /^debugfs: ls -p "(.*)"$/.exec(line);
    if (command !== null) directory = (command[1] ?? '').replace(/\/$/, '');
    const [, , mode, owner, group, name] = line.split('/');
    if (!line.startsWith('/') || name === undefined || name === '.' || name === '..') continue;
    entries.push({
      path: `${directory}/${name}`,
      mode: Number.parseInt(mode ?? '', 8),
      owner: Number(owner),
      group: Number(group),
    });
  }
  return entries;
}

async function debugfs(image: GuestImage, command: string): Promise<string> {
  const { stdout } = await runOrThrow('debugfs', ['-R', command, image.rootPath], { env: sbinEnvironment() });
  return stdout.toString();
}

function isDirectory({ mode }: Entry): boolean {
  return (mode & 0o170000) === 0o040000;
}

function sbinEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };
}
