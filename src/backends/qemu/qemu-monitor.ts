import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import path from 'node:path';

import { runToCompletion } from '../../base/child-process.js';
import { asGlasshouseError, GlasshouseError } from '../../base/errors.js';
import { type BootDeadline, bringUp } from '../vm/boot-deadline.js';
import { openImagePart } from '../vm/image-part.js';
import {
  type Accelerator,
  type MachineMemory,
  type MachineRequest,
  type MachineShape,
  type MachineTemplate,
  type MonitorFacts,
  type VirtualMachine,
  type VirtualMachineMonitor,
} from '../vm/machine.js';
import { processorIdentity } from '../vm/processor.js';
import { LIBRARY_FD, qemuArguments } from './command-line.js';
import { confinement, templateConfinement } from './confinement.js';
import { hostTscKhz } from './host-tsc.js';
import { takeNameAway } from './nameless-socket.js';
import { QemuProcess } from './qemu-process.js';
import { QemuTemplate } from './qemu-template.js';
import { StateReceiver } from './state-receiver.js';

const VERSION_TIMEOUT_MS = 10_000;

export interface QemuOptions {
  /** Name or path of the emulator. */
  readonly binary: string;
  /** What may be used, best first. */
  readonly accelerators: readonly Accelerator[];
  /** Existing directory, closed to other users, for what needs a name for a moment. */
  readonly runtimeDirectory: string;
  /** Paths of what `make -C host` builds: how an emulated machine is copied. */
  readonly templateLibrary: string;
  readonly copyHelper: string;
}

/** QEMU's microvm machine as a virtual machine monitor. */
export class QemuMonitor implements VirtualMachineMonitor {
  readonly name = 'qemu';
  readonly memoryKind = 'sealed';
  /** Translated code, for the most part, and its devices. */
  readonly overheadMb = 96;
  readonly accelerators: readonly Accelerator[];
  readonly #options: QemuOptions;
  #facts: Promise<MonitorFacts> | null = null;
  #tscKhz: Promise<number | null> | null = null;

  constructor(options: QemuOptions) {
    this.#options = options;
    this.accelerators = options.accelerators;
  }

  hostFindings(): readonly string[] {
    return [];
  }

  /** QEMU counts nothing that would be worth asking for. */
  gauges(): readonly [] {
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
    const clone = await this.#arguments({ ...shape, memory: 'clone' }, true);
    const boot = await this.#arguments({ ...shape, memory: 'freezable' }, true);
    // What the guest has seen of the processor it must find again; an emulated one is always the same.
    const processor = shape.accelerator === 'kvm' ? await processorIdentity() : 'emulated';
    return JSON.stringify([version, processor, boot, clone]);
  }

  async launch(request: MachineRequest, deadline: BootDeadline): Promise<VirtualMachine> {
    const { image, memory, accelerator } = request;
    const [command, ...leading] = confinement(accelerator === 'kvm').prefix;
    const own = await this.#arguments({ ...request, memory: memory.kind }, true);
    const args = [...leading, this.#options.binary, ...own];
    const boots = memory.kind !== 'clone';
    await using root = await openImagePart(image.rootPath);
    await using kernel = boots ? await openImagePart(image.kernelPath) : null;
    await using initramfs = boots ? await openImagePart(image.initramfsPath) : null;
    const receiver =
      memory.kind === 'freezable' ? await StateReceiver.listen(this.#options.runtimeDirectory) : null;
    const spawned = (): QemuProcess => {
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
      return QemuProcess.adopt(child, receiver);
    };
    const machine = await ownedBy(receiver, spawned);
    if (memory.kind === 'clone') await bringUp(machine, deadline, () => machine.resume());
    return machine;
  }

  async launchTemplate(request: MachineRequest): Promise<MachineTemplate | null> {
    const { memory } = request;
    // A virtual machine of KVM belongs to the process that made it (Documentation/virt/kvm/api.rst, 2).
    if (request.accelerator === 'kvm' || memory.kind !== 'clone') return null;
    const name = path.join(this.#options.runtimeDirectory, `.template-${randomBytes(8).toString('hex')}`);
    try {
      const machine = await this.#startTemplate(request, memory, name);
      await machine.resume();
      const { copyHelper, runtimeDirectory } = this.#options;
      return new QemuTemplate(machine, await socketOf(machine, name), copyHelper, runtimeDirectory);
    } catch (error) {
      await rm(name, { force: true });
      throw asGlasshouseError(error, 'vmm_failed');
    }
  }

  async #startTemplate(
    request: MachineRequest,
    memory: Extract<MachineMemory, { kind: 'clone' }>,
    socketName: string,
  ): Promise<QemuProcess> {
    const { binary, templateLibrary } = this.#options;
    const [command, ...leading] = templateConfinement();
    const own = await this.#arguments({ ...request, memory: memory.kind }, false);
    await using root = await openImagePart(request.image.rootPath);
    await using library = await open(templateLibrary, 'r');
    const child = spawn(command, [...leading, 'env', ...templateVariables(socketName), binary, ...own], {
      env: { PATH: process.env['PATH'] },
      cwd: '/',
      stdio: [
        ...(['ignore', 'pipe', 'pipe', 'pipe', root.fd, request.workspace.fd, 'ignore', 'ignore'] as const),
        ...memoryDescriptors(memory, null),
        library.fd,
      ],
    });
    return QemuProcess.adopt(child, null);
  }

  async #arguments(
    shape: MachineShape & { readonly memory: MachineMemory['kind'] },
    confinesItself: boolean,
  ): Promise<string[]> {
    this.#tscKhz ??= hostTscKhz();
    return qemuArguments({ ...shape, tscKhz: await this.#tscKhz, confinesItself });
  }

  async #readFacts(): Promise<MonitorFacts> {
    const { binary } = this.#options;
    const result = await runToCompletion(binary, ['--version'], { timeoutMs: VERSION_TIMEOUT_MS });
    const version = /version (\d+\.\d+\.\d+)/.exec(result.stdout.toString('utf8'))?.[1];
    if (result.exitCode !== 0 || version === undefined) {
      throw new GlasshouseError('backend_unavailable', `${binary} --version did not name a version.`);
    }
    return { version: `QEMU ${version}`, notes: confinement(false).notes };
  }
}

/** For host/template in QEMU alone. By descriptor: a path may hold what the dynamic linker takes for a separator. */
function templateVariables(socketName: string): string[] {
  return [
    `LD_PRELOAD=/proc/self/fd/${LIBRARY_FD}`,
    `GLASSHOUSE_TEMPLATE_SOCKET=${socketName}`,
    `GLASSHOUSE_TEMPLATE_PARENT=${process.pid}`,
  ];
}

/** Where a template listens: from before it is QEMU, unless QEMU was built to load nothing. */
async function socketOf(machine: QemuProcess, name: string): Promise<FileHandle> {
  try {
    return await takeNameAway(name);
  } catch (error) {
    await machine.destroy();
    throw new GlasshouseError('vmm_failed', 'QEMU does not load the library that would copy it.', {
      cause: error,
    });
  }
}

/** What QEMU inherits at MEMORY_FD and after it. */
function memoryDescriptors(memory: MachineMemory, receiver: StateReceiver | null): (number | 'pipe')[] {
  if (memory.kind === 'clone') return [memory.file.fd, 'pipe', memory.state.fd];
  return memory.kind === 'own' || receiver === null ? [] : [memory.file.fd, 'pipe', receiver.socket.fd];
}

/** What takes the receiver over; when that throws, nobody has. */
async function ownedBy(receiver: StateReceiver | null, take: () => QemuProcess): Promise<QemuProcess> {
  try {
    return take();
  } catch (error) {
    await receiver?.[Symbol.asyncDispose]();
    throw error;
  }
}
