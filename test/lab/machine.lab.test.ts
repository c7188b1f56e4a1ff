import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openImage } from '../../src/images/locate.js';

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));

describe('the machine of the lab', () => {
  const firecracker = process.env['GLASSHOUSE_FIRECRACKER_BIN'] ?? '';
  const jailer = process.env['GLASSHOUSE_JAILER_BIN'] ?? '';
  let directory: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'glasshouse-lab-'));
  });

  after(() => {
    rmSync(directory, { recursive: true });
  });

  it('has the Firecracker and the jailer that it was given, of one version', () => {
    const versions = [firecracker, jailer].map((program) => {
      const { stdout, status } = spawnSync(program, ['--version'], { encoding: 'utf8' });
      assert.equal(status, 0, program);
      return /^(?:Firecracker|Jailer) (v\d+\.\d+\.\d+)$/m.exec(stdout)?.[1];
    });
    assert.notEqual(versions[0], undefined);
    assert.equal(versions[0], versions[1]);
  });

  it('runs no guest on its first processor, of which the emulator loses the state now and then', () => {
    const { stdout } = spawnSync('grep', ['Cpus_allowed_list', '/proc/self/status'], { encoding: 'utf8' });
    assert.equal(stdout, 'Cpus_allowed_list:\t1-2\n');
  });

  it('boots our kernel under Firecracker', async () => {
    const image = await openImage(join(REPOSITORY, 'build', 'image'));
    const configuration = join(directory, 'vm.json');
    writeFileSync(
      configuration,
      JSON.stringify({
        'boot-source': {
          kernel_image_path: image.kernelPath,
          boot_args: 'console=ttyS0 quiet panic=-1 reboot=k',
        },
        drives: [],
        'machine-config': { vcpu_count: 1, mem_size_mib: 128 },
      }),
    );
    // A file: of what does not fit into a pipe, Firecracker drops the rest.
    const console = openSync(join(directory, 'console'), 'w+');
    const { status } = spawnSync(firecracker, ['--no-api', '--config-file', configuration], {
      stdio: ['ignore', console, 'inherit'],
    });
    closeSync(console);
    const said = readFileSync(join(directory, 'console'), 'utf8');
    // It is given nothing else: the kernel gets as far as looking for its root, and restarts, which ends the machine.
    assert.match(said, /Kernel panic - not syncing: VFS: Unable to mount root fs/);
    assert.equal(status, 0, said);
  });
});
