import { spawn } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';

import { runToCompletion } from '../../base/child-process.js';
import { asGlasshouseError, GlasshouseError, systemErrorCode } from '../../base/errors.js';
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
    await using root = await openPart(image.rootPath);
    await using kernel = await openPart(image.kernelPath);
    await using initramfs = await openPart(image.initramfsPath);
    const child = spawn(command, args, {
      env: { PATH: process.env['PATH'] },
      cwd: '/',
      // 'pipe' at LINK_FD is one end of a socket pair: the guest link has no name that anybody could connect to.
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', root.fd, workspace.fd, kernel.fd, initramfs.fd],
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

/** A part was there when the image was verified; somebody may have removed it since. */
async function openPart(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw asGlasshouseError(error, 'vmm_failed');
    const message = `${path} has vanished since the guest image was verified. Run "glasshouse image build".`;
    throw new GlasshouseError('image_missing', message, { cause: error });
  }
}
