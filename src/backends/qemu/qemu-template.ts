import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle } from 'node:fs/promises';
import { type Readable } from 'node:stream';

import { asGlasshouseError, GlasshouseError } from '../../base/errors.js';
import { ownPages } from '../../base/own-pages.js';
import { writeFully } from '../../base/write-fully.js';
import { type MachineTemplate, type VirtualMachine } from '../vm/machine.js';
import { freshUser } from '../vm/unprivileged-user.js';
import { CONTROL_FD, LINK_FD, WORKSPACE_FD } from './command-line.js';
import { QemuProcess } from './qemu-process.js';

/** Descriptors of copy-monitor beside those that the copy gets. */
const SOCKET_FD = 4;
const REPORT_FD = 6;
const PAGES_FD = 7;
/** An address in the file of pages. */
const ADDRESS_BYTES = 8;
/** Console, messages, guest link, workspace, control connection: what a copy must not share with the template. */
const COPIED_FDS = [1, 2, LINK_FD, WORKSPACE_FD, CONTROL_FD];
/** Copying takes milliseconds; a template that somebody has stopped never answers. */
const COPY_TIMEOUT_MS = 5_000;

/** A QEMU with host/template loaded into it. */
export class QemuTemplate implements MachineTemplate {
  readonly machine: QemuProcess;
  readonly #socket: FileHandle;
  readonly #pages: FileHandle;
  readonly #helper: string;

  /**
   * `socket`: where it listens, opened with O_PATH. `pages`: an empty file. Both are closed when the machine has ended.
   * `helper`: path of copy-monitor.
   */
  constructor(machine: QemuProcess, socket: FileHandle, pages: FileHandle, helper: string) {
    this.machine = machine;
    this.#socket = socket;
    this.#pages = pages;
    this.#helper = helper;
    void machine.ended.then(() => Promise.all([socket.close(), pages.close()]));
  }

  async copy(workspace: FileHandle, isToWait: boolean): Promise<VirtualMachine> {
    const owner = isRoot() ? freshUser() : 0;
    const numbers = [owner, REPORT_FD, PAGES_FD, ...COPIED_FDS];
    const args = [process.pid, `/proc/self/fd/${SOCKET_FD}`, ...numbers].map(String);
    const child = spawn(this.#helper, args, {
      env: {},
      cwd: '/',
      stdio: [
        ...(['ignore', 'pipe', 'pipe', 'pipe', this.#socket.fd, workspace.fd] as const),
        ...(['pipe', isToWait ? this.#pages.fd : 'ignore', 'ignore', 'pipe'] as const),
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

  async foresee(copy: VirtualMachine, run: () => Promise<void>): Promise<void> {
    if (!isRoot()) return;
    const before = await ownPagesOf(copy);
    await run();
    const after = await ownPagesOf(copy);
    await writeFully(this.#pages, encodeAddresses([...after].filter((page) => !before.has(page))), 0);
  }
}

/** Who is not root can neither see a copy's memory nor write to it: it lets nobody look. */
function isRoot(): boolean {
  return process.getuid?.() === 0;
}

async function ownPagesOf(machine: VirtualMachine): Promise<ReadonlySet<number>> {
  if (!(machine instanceof QemuProcess) || machine.pid === undefined)
    throw new GlasshouseError('internal', 'Only a QEMU that runs has pages.');
  return ownPages(machine.pid);
}

function encodeAddresses(addresses: readonly number[]): Buffer {
  const bytes = Buffer.alloc(addresses.length * ADDRESS_BYTES);
  for (const [index, address] of addresses.entries())
    bytes.writeBigUInt64LE(BigInt(address), index * ADDRESS_BYTES);
  return bytes;
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
