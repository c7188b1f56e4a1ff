import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';

import { runToCompletion } from '../../base/child-process.js';
import { GlasshouseError, systemErrorCode } from '../../base/errors.js';
import {
  type Accelerator,
  type MachineRequest,
  type MonitorFacts,
  type VirtualMachine,
  type VirtualMachineMonitor,
} from '../vm/machine.js';
import { qemuArguments } from './command-line.js';
import { confinement } from './confinement.js';
import { hostTscKhz } from './host-tsc.js';
import { QemuProcess } from './qemu-process.js';

type StdioEntry = 'ignore' | 'pipe' | number;

/** open(2), as fdinfo shows it. */
const O_CLOEXEC = 0o2000000;
const VERSION_TIMEOUT_MS = 10_000;

export interface QemuOptions {
  /** Name or path of the emulator. */
  readonly binary: string;
  /** What may be used, best first. */
  readonly accelerators: readonly Accelerator[];
}

/** QEMU's microvm machine as a virtual machine monitor. */
export class QemuMonitor implements VirtualMachineMonitor {
  readonly name = 'qemu';
  readonly accelerators: readonly Accelerator[];
  readonly #binary: string;
  #facts: Promise<MonitorFacts> | null = null;
  #tscKhz: Promise<number | null> | null = null;

  constructor(options: QemuOptions) {
    this.#binary = options.binary;
    this.accelerators = options.accelerators;
  }

  inspect(): Promise<MonitorFacts> {
    this.#facts ??= this.#readFacts().catch((error: unknown) => {
      this.#facts = null;
      throw error;
    });
    return this.#facts;
  }

  async launch(request: MachineRequest): Promise<VirtualMachine> {
    this.#tscKhz ??= hostTscKhz();
    const tscKhz = await this.#tscKhz;
    const { prefix } = confinement(request.accelerator === 'kvm');
    const [command, ...leading] = prefix;
    const { image, accelerator, memoryMb, cpus, workspace } = request;
    const args = [...leading, this.#binary, ...qemuArguments({ accelerator, memoryMb, cpus, tscKhz })];
    await using root = await open(image.rootPath, 'r');
    await using kernel = await open(image.kernelPath, 'r');
    await using initramfs = await open(image.initramfsPath, 'r');
    const child = spawn(command, args, {
      env: { PATH: process.env['PATH'] },
      cwd: '/',
      // 'pipe' at LINK_FD is one end of a socket pair: the guest link has no name that anybody could connect to.
      stdio: withoutInherited([
        'ignore',
        'pipe',
        'pipe',
        'pipe',
        root.fd,
        workspace.fd,
        kernel.fd,
        initramfs.fd,
      ]),
    });
    return QemuProcess.adopt(child);
  }

  async #readFacts(): Promise<MonitorFacts> {
    const result = await runToCompletion(this.#binary, ['--version'], { timeoutMs: VERSION_TIMEOUT_MS });
    const version = /version (\d+\.\d+\.\d+)/.exec(result.stdout.toString('utf8'))?.[1];
    if (result.exitCode !== 0 || version === undefined) {
      throw new GlasshouseError('backend_unavailable', `${this.#binary} --version did not name a version.`);
    }
    return { version: `QEMU ${version}`, notes: confinement(false).notes };
  }
}

/**
 * Puts /dev/null over every descriptor that this process was started with and never closed: whoever started us
 * may have left anything open, and Node.js passes on what is not marked close-on-exec.
 */
function withoutInherited(stdio: StdioEntry[]): StdioEntry[] {
  const highest = Math.max(...inheritableDescriptors());
  return [
    ...stdio,
    ...Array.from({ length: Math.max(0, highest + 1 - stdio.length) }, () => 'ignore' as const),
  ];
}

/** Descriptors without close-on-exec (proc_pid_fdinfo(5): `flags` is octal); at least stdin, stdout and stderr. */
function inheritableDescriptors(): number[] {
  const descriptors = [0, 1, 2];
  for (const name of readdirSync('/proc/self/fdinfo')) {
    try {
      const flags =
        /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${name}`, 'latin1'))?.[1] ?? '0';
      if ((Number.parseInt(flags, 8) & O_CLOEXEC) === 0) descriptors.push(Number(name));
    } catch (error) {
      // The descriptor of the directory that we are reading is closed by now.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
  return descriptors;
}
