import { spawn } from 'node:child_process';

import { runToCompletion } from '../../base/child-process.js';
import { GlasshouseError } from '../../base/errors.js';
import { openImagePart } from '../vm/image-part.js';
import {
  type Accelerator,
  type MachineMemory,
  type MachineRequest,
  type MachineShape,
  type MonitorFacts,
  type VirtualMachine,
  type VirtualMachineMonitor,
} from '../vm/machine.js';
import { processorIdentity } from '../vm/processor.js';
import { qemuArguments } from './command-line.js';
import { confinement } from './confinement.js';
import { hostTscKhz } from './host-tsc.js';
import { QemuProcess } from './qemu-process.js';
import { StateReceiver } from './state-receiver.js';

const VERSION_TIMEOUT_MS = 10_000;

export interface QemuOptions {
  /** Name or path of the emulator. */
  readonly binary: string;
  /** What may be used, best first. */
  readonly accelerators: readonly Accelerator[];
  /** Existing directory, closed to other users, for what needs a name for a moment. */
  readonly runtimeDirectory: string;
}

/** QEMU's microvm machine as a virtual machine monitor. */
export class QemuMonitor implements VirtualMachineMonitor {
  readonly name = 'qemu';
  readonly memoryKind = 'sealed';
  /** Translated code, for the most part, and its devices. */
  readonly overheadMb = 96;
  readonly accelerators: readonly Accelerator[];
  readonly #binary: string;
  readonly #runtimeDirectory: string;
  #facts: Promise<MonitorFacts> | null = null;
  #tscKhz: Promise<number | null> | null = null;

  constructor(options: QemuOptions) {
    this.#binary = options.binary;
    this.#runtimeDirectory = options.runtimeDirectory;
    this.accelerators = options.accelerators;
  }

  hostFindings(): readonly string[] {
    return [];
  }

  inspect(): Promise<MonitorFacts> {
    this.#facts ??= this.#readFacts().catch((error: unknown) => {
      this.#facts = null;
      throw error;
    });
    return this.#facts;
  }

  async freezeKey(shape: MachineShape): Promise<string> {
    const { version } = await this.inspect();
    const clone = await this.#arguments({ ...shape, memory: 'clone' });
    const boot = await this.#arguments({ ...shape, memory: 'freezable' });
    // What the guest has seen of the processor it must find again; an emulated one is always the same.
    const processor = shape.accelerator === 'kvm' ? await processorIdentity() : 'emulated';
    return JSON.stringify([version, processor, boot, clone]);
  }

  async launch(request: MachineRequest): Promise<VirtualMachine> {
    const { image, memory, accelerator } = request;
    const [command, ...leading] = confinement(accelerator === 'kvm').prefix;
    const args = [...leading, this.#binary, ...(await this.#arguments({ ...request, memory: memory.kind }))];
    const boots = memory.kind !== 'clone';
    await using root = await openImagePart(image.rootPath);
    await using kernel = boots ? await openImagePart(image.kernelPath) : null;
    await using initramfs = boots ? await openImagePart(image.initramfsPath) : null;
    const receiver = memory.kind === 'freezable' ? await StateReceiver.listen(this.#runtimeDirectory) : null;
    const child = spawn(command, args, {
      env: { PATH: process.env['PATH'] },
      cwd: '/',
      // 'pipe' at LINK_FD is one end of a socket pair: the guest link has no name that anybody could connect to.
      stdio: [
        ...(['ignore', 'pipe', 'pipe', 'pipe', root.fd, request.workspace.fd] as const),
        kernel?.fd ?? 'ignore',
        initramfs?.fd ?? 'ignore',
        ...memoryDescriptors(memory, receiver),
      ],
    });
    const machine = QemuProcess.adopt(child, receiver);
    if (memory.kind === 'clone') await machine.resume();
    return machine;
  }

  async #arguments(shape: MachineShape & { readonly memory: MachineMemory['kind'] }): Promise<string[]> {
    this.#tscKhz ??= hostTscKhz();
    return qemuArguments({ ...shape, tscKhz: await this.#tscKhz });
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

/** What QEMU inherits at MEMORY_FD and after it. */
function memoryDescriptors(memory: MachineMemory, receiver: StateReceiver | null): (number | 'pipe')[] {
  if (memory.kind === 'clone') return [memory.file.fd, 'pipe', memory.state.fd];
  return memory.kind === 'own' || receiver === null ? [] : [memory.file.fd, 'pipe', receiver.socket.fd];
}
