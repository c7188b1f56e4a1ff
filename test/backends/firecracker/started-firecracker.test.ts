import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { lineOfDescent } from '../../../src/backends/firecracker/firecracker-process.js';
import { type VirtualMachine } from '../../../src/backends/vm/machine.js';
import { isProcessStopped } from '../../../src/backends/vm/stopped.js';
import { openAnonymousFile } from '../../../src/base/anonymous-file.js';
import { hasEnded, readProcess } from '../../../src/base/process-table.js';
import {
  defaultImageDirectory,
  type GuestImage,
  isUnchanged,
  openImage,
} from '../../../src/images/locate.js';
import { childProcesses, launch, openDescriptors, ScratchDirectory } from '../../contract/subject.js';
import { makeMonitorIn, reasonNotToStart } from './firecracker-binary.js';

const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

const ORPHAN_MAKER = fileURLToPath(new URL('orphan-maker.js', import.meta.url));
const image: GuestImage | null = await openImage(defaultImageDirectory()).catch(() => null);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(2);
}

const hasGone = (pid: number): boolean => {
  const entry = readProcess(pid);
  return entry === null || hasEnded(entry);
};

function cellsIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).flatMap((program) => readdirSync(join(directory, program)));
}

/** Whether the processor then runs the guest makes no difference to any of this. */
for (const jailed of [true, false]) {
  const skip = reasonNotToStart(jailed) ?? (image === null ? 'no guest image is built' : false);
  describe(
    `a Firecracker that was started ${jailed ? 'in its jail' : 'without a jail'}`,
    { skip, timeout: 120_000 },
    () => {
      const cells = join(scratch.path, `cells-${jailed}`);
      const monitor = makeMonitorIn(cells, { jailed });

      /** Starts one machine, and sees to it that nothing of it is left. */
      async function withMachine(
        act: (machine: VirtualMachine, tree: number[]) => Promise<void>,
      ): Promise<void> {
        assert.ok(image !== null);
        const descriptors = openDescriptors();
        {
          await using workspace = await openAnonymousFile(scratch.path);
          await workspace.truncate(1024 * 1024);
          const machine = await launch(monitor, {
            accelerator: 'kvm',
            memoryMb: 160,
            cpus: 1,
            diskMb: 1,
            image,
            workspace,
            memory: { kind: 'own' },
          });
          const [keeper = 0] = childProcesses();
          const tree = lineOfDescent(keeper);
          await act(machine, tree);
          await machine.destroy();
          assert.ok(tree.every(hasGone), 'no process is left that could write to the cell');
        }
        assert.deepEqual(cellsIn(cells), []);
        assert.deepEqual(childProcesses(), []);
        assert.deepEqual(openDescriptors(), descriptors);
      }

      it('has a user, a root and namespaces of its own, no capability and a filter of system calls', async () => {
        await withMachine((_machine, tree) => {
          const pid = tree.at(-1) ?? 0;
          const status = readFileSync(`/proc/${pid}/status`, 'utf8');
          assert.match(status, /^NoNewPrivs:\t1$/m);
          const filtered = readdirSync(`/proc/${pid}/task`).every((thread) =>
            /^Seccomp:\t2$/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')),
          );
          assert.ok(filtered, 'every thread is filtered');
          assert.equal(tree.length, jailed ? 3 : 1);
          assert.equal(readFileSync(`/proc/${pid}/environ`, 'latin1'), '');
          if (!jailed) return Promise.resolve();
          assert.match(status, /^Uid:\t19\d{8}\t/m);
          assert.match(status, /^CapEff:\t0+$/m);
          assert.ok(statSync(`/proc/${pid}`).uid >= 1_900_000_000);
          assert.deepEqual(readdirSync(`/proc/${pid}/root/..`).includes('etc'), false);
          for (const kind of ['pid', 'net', 'ipc', 'uts', 'mnt'])
            assert.notEqual(
              statSync(`/proc/${pid}/ns/${kind}`).ino,
              statSync(`/proc/self/ns/${kind}`).ino,
              kind,
            );
          return Promise.resolve();
        });
      });

      it('leaves no trace in the image, which would be verified anew for every execution', async () => {
        await withMachine(() => {
          assert.ok(image !== null && isUnchanged(image), 'while it runs');
          return Promise.resolve();
        });
        assert.ok(image !== null && isUnchanged(image), 'afterwards');
      });

      it('is seen to be stopped, and can be ended all the same', async () => {
        await withMachine(async (machine, tree) => {
          assert.equal(machine.isStopped(), false);
          process.kill(tree.at(-1) ?? 0, 'SIGSTOP');
          await until(() => machine.isStopped());
        });
      });

      it('is known to have ended when it is killed, and so ends its link', async () => {
        await withMachine(async (machine, tree) => {
          process.kill(tree.at(-1) ?? 0, 'SIGKILL');
          const { description } = await machine.ended;
          assert.match(description, jailed ? /exited with code 137/ : /was ended by SIGKILL/);
          assert.ok(machine.link.destroyed);
          await assert.rejects(machine.pause(), { code: 'vmm_failed' });
        });
      });

      it('says in a log of its own why it ended, which no guest can write to', async () => {
        await withMachine(async (machine, tree) => {
          process.kill(tree.at(-1) ?? 0, 'SIGHUP');
          const { lastWords } = await machine.ended;
          assert.match(lastWords, /:ERROR\] Shutting down VM after intercepting signal 1\b/);
        });
      });

      it('can be paused and go on, which is not to be stopped from outside', async () => {
        await withMachine(async (machine, tree) => {
          const firecracker = tree.at(-1) ?? 0;
          await machine.pause();
          await machine.pause();
          await until(() => isProcessStopped(firecracker));
          assert.equal(machine.isStopped(), false);
          await machine.unpause();
          await until(() => !isProcessStopped(firecracker));
          process.kill(firecracker, 'SIGSTOP');
          await until(() => machine.isStopped());
        });
      });

      it('ends with its owner, and the next one sweeps its cell', async () => {
        const directory = scratch.make(`orphans-${jailed}`);
        const owner = spawn(process.execPath, [ORPHAN_MAKER, directory, jailed ? 'jailed' : 'free'], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        const [line] = (await once(owner.stdout, 'data')) as [Buffer];
        const tree = lineOfDescent(Number(line.toString()));
        assert.equal(tree.length, jailed ? 3 : 1);
        owner.kill('SIGKILL');
        await once(owner, 'close');
        await until(() => tree.every(hasGone));
        const left = join(directory, 'cells');
        assert.equal(cellsIn(left).length, 1);
        await makeMonitorIn(left, { jailed }).inspect();
        assert.deepEqual(cellsIn(left), []);
      });
    },
  );
}
