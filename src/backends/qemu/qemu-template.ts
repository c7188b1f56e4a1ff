import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle } from 'node:fs/promises';
import { type Readable } from 'node:stream';

import { openAnonymousFile } from '../../base/anonymous-file.js';
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
  readonly #helper: string;
  readonly #directory: string;
  /** Addresses in the memory that was foreseen; null: nothing was. */
  #pages: FileHandle | null = null;

  /**
   * `socket`: where it listens, opened with O_PATH; closed when the machine has ended. `helper`: path of copy-monitor.
   * `directory`: existing, for a file without a name.
   */
  constructor(machine: QemuProcess, socket: FileHandle, helper: string, directory: string) {
    this.machine = machine;
    this.#socket = socket;
    this.#helper = helper;
    this.#directory = directory;
    void machine.ended.then(() => socket.close());
  }

  async copy(workspace: FileHandle, isToWait: boolean): Promise<VirtualMachine> {
    const owner = process.getuid?.() === 0 ? freshUser() : 0;
    const pages = isToWait ? this.#pages : null;
    const numbers = [owner, REPORT_FD, PAGES_FD, ...COPIED_FDS];
    const args = [process.pid, `/proc/self/fd/${SOCKET_FD}`, ...numbers].map(String);
    const child = spawn(this.#helper, args, {
      env: {},
      cwd: '/',
      stdio: [
        ...(['ignore', 'pipe', 'pipe', 'pipe', this.#socket.fd, workspace.fd] as const),
        ...(['pipe', pages?.fd ?? 'ignore', 'ignore', 'pipe'] as const),
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
    const before = await ownPagesOf(copy);
    if (before === null) return;
    await run();
    const after = [...((await ownPagesOf(copy)) ?? [])];
    const pages = await openAnonymousFile(this.#directory);
    void this.machine.ended.then(() => pages.close());
    await writeFully(pages, encodeAddresses(after.filter((page) => !before.has(page))), 0);
    this.#pages = pages;
  }
}

async function ownPagesOf(machine: VirtualMachine): Promise<ReadonlySet<number> | null> {
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
