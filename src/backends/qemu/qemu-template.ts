import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle } from 'node:fs/promises';
import { type Readable } from 'node:stream';

import { asGlasshouseError, GlasshouseError } from '../../base/errors.js';
import { type MachineTemplate, type VirtualMachine } from '../vm/machine.js';
import { freshUser } from '../vm/unprivileged-user.js';
import { CONTROL_FD, LINK_FD, WORKSPACE_FD } from './command-line.js';
import { QemuProcess } from './qemu-process.js';

/** Descriptors of copy-monitor beside those that the copy gets. */
const SOCKET_FD = 4;
const REPORT_FD = 6;
/** Console, messages, guest link, workspace, control connection: what a copy must not share with the template. */
const COPIED_FDS = [1, 2, LINK_FD, WORKSPACE_FD, CONTROL_FD];
/** Copying takes milliseconds; a template that somebody has stopped never answers. */
const COPY_TIMEOUT_MS = 5_000;

/** A QEMU with host/template loaded into it. */
export class QemuTemplate implements MachineTemplate {
  readonly machine: QemuProcess;
  readonly #socket: FileHandle;
  readonly #helper: string;

  /** `socket`: where it listens, opened with O_PATH; closed when the machine has ended. `helper`: path of copy-monitor. */
  constructor(machine: QemuProcess, socket: FileHandle, helper: string) {
    this.machine = machine;
    this.#socket = socket;
    this.#helper = helper;
    void machine.ended.then(() => socket.close());
  }

  async copy(workspace: FileHandle): Promise<VirtualMachine> {
    const owner = process.getuid?.() === 0 ? freshUser() : 0;
    const args = [process.pid, `/proc/self/fd/${SOCKET_FD}`, owner, REPORT_FD, ...COPIED_FDS].map(String);
    const child = spawn(this.#helper, args, {
      env: {},
      cwd: '/',
      stdio: [
        ...(['ignore', 'pipe', 'pipe', 'pipe', this.#socket.fd, workspace.fd] as const),
        ...(['pipe', 'ignore', 'ignore', 'pipe'] as const),
      ],
    });
    const machine = QemuProcess.adopt(child, null);
    try {
      machine.runsAs(await reportedPid(child, machine));
      return machine;
    } catch (error) {
      // Not awaited: what was sent to a template that is stopped is open until that ends, which is up to the caller.
      void machine.destroy();
      throw asGlasshouseError(error, 'vmm_failed');
    }
  }
}

async function reportedPid(child: ChildProcess, machine: QemuProcess): Promise<number> {
  const report = (child.stdio as readonly unknown[])[REPORT_FD] as Readable;
  const done = new AbortController();
  const timer = setTimeout(() => {
    done.abort();
  }, COPY_TIMEOUT_MS);
  try {
    const text = await Promise.race([once(report, 'data', { signal: done.signal }), machine.ended]);
    if (Array.isArray(text)) return parsePid(String(text[0]));
    throw new GlasshouseError('vmm_failed', `QEMU could not be copied. ${text.lastWords}`);
  } catch (error) {
    if (!done.signal.aborted) throw error;
    const words = `QEMU was not copied within ${COPY_TIMEOUT_MS / 1000} s: something holds the template.`;
    throw new GlasshouseError('vmm_failed', words, { cause: error });
  } finally {
    clearTimeout(timer);
    done.abort();
    report.destroy();
  }
}

function parsePid(text: string): number {
  const pid = /^([1-9]\d*)\n$/.exec(text)?.[1];
  if (pid === undefined) throw new GlasshouseError('vmm_failed', 'copy-monitor did not name a process.');
  return Number(pid);
}
