import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { Cell, CGROUP_PARENT, CGROUP_ROOT, sweepCells } from '../../../src/backends/firecracker/cell.js';
import { ScratchDirectory } from '../../contract/subject.js';

const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

interface Occupied {
  readonly cgroup: string;
  readonly occupant: ChildProcess;
}

/** A process in the cgroup that the jailer would have made for a cell of this name. */
function occupy(name: string): Occupied {
  const cgroup = join(CGROUP_ROOT, CGROUP_PARENT, name);
  mkdirSync(cgroup, { recursive: true });
  const occupant = spawn('sleep', ['1000'], { stdio: 'ignore' });
  writeFileSync(join(cgroup, 'cgroup.procs'), String(occupant.pid));
  return { cgroup, occupant };
}

describe('the cgroup of a cell', { timeout: 60_000 }, () => {
  it('goes with it, also when the last process in it is only just ending', async () => {
    const base = scratch.make('ending');
    const cell = await Cell.create(base, 'firecracker');
    const { cgroup, occupant } = occupy(cell.name);
    const removed = cell[Symbol.asyncDispose]();
    occupant.kill('SIGKILL');
    await removed;
    assert.deepEqual([existsSync(cgroup), readdirSync(join(base, 'firecracker'))], [false, []]);
  });

  it('keeps the name of the cell while something is in it, so that a later sweep finds it', async () => {
    const base = scratch.make('busy');
    // Pid 1 is somebody, but did not start when this says.
    const abandoned = '1-1-00000000-0000-0000-12345678';
    mkdirSync(join(base, 'firecracker', abandoned, 'root'), { recursive: true });
    const { cgroup, occupant } = occupy(abandoned);
    await sweepCells(base);
    assert.ok(existsSync(cgroup));
    assert.deepEqual(readdirSync(join(base, 'firecracker'), { recursive: true }), [abandoned]);
    occupant.kill('SIGKILL');
    await once(occupant, 'close');
    await sweepCells(base);
    assert.deepEqual([existsSync(cgroup), readdirSync(join(base, 'firecracker'))], [false, []]);
  });
});
