import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { type FileHandle, readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { GlasshouseError, systemErrorCode } from '../../base/errors.js';
import { findProgram } from '../../base/find-program.js';
import { makeDirectory } from '../../base/directory.js';
import { type BackendGauge } from '../backend.js';
import { type BootDeadline } from '../vm/boot-deadline.js';
import { openImagePart } from '../vm/image-part.js';
import {
  type MachineRequest,
  type MachineShape,
  type MonitorFacts,
  type VirtualMachine,
  type VirtualMachineMonitor,
} from '../vm/machine.js';
import { outputOf } from '../vm/monitor-streams.js';
import { processorIdentity } from '../vm/processor.js';
import { freshUser } from '../vm/unprivileged-user.js';
import { Cell, sweepCells } from './cell.js';
import { FirecrackerProcess } from './firecracker-process.js';
import { hostFindings } from './host-guide.js';
import { boundsSwap, enableCgroups, freeCommand, jailedCommand, whyNoCgroups } from './jail.js';
import { bootActions, cloneAction, FILES } from './machine-setup.js';
import { MetricsTally } from './metrics.js';
import { assertSafeJailer, assertSupported, type ProgramVersion, versionOf } from './versions.js';

const SETUP_ADVICE = 'Run "glasshouse setup firecracker"';
/** keep-machine's name for the first descriptor that it is given. */
const FIRST_FD = 3;

export interface FirecrackerOptions {
  /** Name or path of the program. */
  readonly binary: string;
  /** Name or path of its jailer; null: machines run as the same user as Glasshouse. */
  readonly jailer: string | null;
  /** Path of host/keep-machine. */
  readonly keeper: string;
  /** Existing directory, closed to other users, on the file system of the spool directory: a cell for each machine. */
  readonly cellDirectory: string;
  /** The kernel's device, which tests replace. */
  readonly kvmDevice: string;
}

interface Programs {
  readonly firecracker: string;
  readonly jailer: string | null;
  readonly version: ProgramVersion;
  readonly facts: MonitorFacts;
}

/**
 * What a machine finds under a name of its own in its cell. `own`: it may write to it. `view`: not even a link is made,
 * which would look as if somebody had touched the image.
 */
interface Given {
  readonly name: string;
  readonly how: 'own' | 'share' | 'view';
  readonly file: FileHandle;
}

/** Firecracker as a virtual machine monitor. */
export class FirecrackerMonitor implements VirtualMachineMonitor {
  readonly name = 'firecracker';
  readonly accelerators = ['kvm'] as const;
  readonly memoryKind = 'file';
  /** Its promise is 5 MiB; page tables, buffers of its devices and the keeper come to it. */
  readonly overheadMb = 16;
  readonly #options: FirecrackerOptions;
  readonly #tally = new MetricsTally();
  #programs: Promise<Programs> | null = null;

  constructor(options: FirecrackerOptions) {
    this.#options = options;
  }

  hostFindings(): readonly string[] {
    return hostFindings();
  }

  gauges(): readonly BackendGauge[] {
    return this.#tally.gauges();
  }

  async inspect(): Promise<MonitorFacts> {
    return (await this.#inspected()).facts;
  }

  async freezeKey(shape: MachineShape): Promise<string> {
    const { version } = await this.inspect();
    // A frozen machine is for the processor and the kernel that it was frozen on (docs/snapshotting/snapshot-support.md).
    return JSON.stringify([version, await processorIdentity(), os.release(), [...bootActions(shape)]]);
  }

  /** The kernel's virtual machines cannot be copied with the process that has them. */
  launchTemplate(): Promise<null> {
    return Promise.resolve(null);
  }

  async launch(request: MachineRequest, deadline: BootDeadline): Promise<VirtualMachine> {
    const programs = await this.#inspected();
    const cell = await Cell.create(this.#options.cellDirectory, path.basename(programs.firecracker));
    let machine: FirecrackerProcess;
    try {
      machine = await this.#start(programs, cell, request);
    } catch (error) {
      await cell[Symbol.asyncDispose]();
      throw error;
    }
    const isClone = request.memory.kind === 'clone';
    await machine.begin(isClone ? [cloneAction(programs.version)] : bootActions(request), deadline);
    return machine;
  }

  async #start(programs: Programs, cell: Cell, request: MachineRequest): Promise<FirecrackerProcess> {
    const { image, memory, workspace } = request;
    await using root = await openImagePart(image.rootPath);
    await using kernel = memory.kind === 'clone' ? null : await openImagePart(image.kernelPath);
    await using initramfs = memory.kind === 'clone' ? null : await openImagePart(image.initramfsPath);
    const given: Given[] = [
      { name: FILES.root, how: 'view', file: root },
      { name: FILES.workspace, how: 'own', file: workspace },
    ];
    if (kernel !== null) given.push({ name: FILES.kernel, how: 'view', file: kernel });
    if (initramfs !== null) given.push({ name: FILES.initramfs, how: 'view', file: initramfs });
    if (memory.kind === 'freezable') given.push({ name: FILES.memory, how: 'own', file: memory.file });
    if (memory.kind === 'clone') {
      given.push({ name: FILES.memory, how: 'share', file: memory.file });
      await cell.put(FILES.state, await readFile(memory.state));
    }
    const fileBytes = (await workspace.stat()).size;
    return this.#spawn(programs, cell, request, given, fileBytes);
  }

  #spawn(
    { firecracker, jailer }: Programs,
    cell: Cell,
    request: MachineRequest,
    given: readonly Given[],
    fileBytes: number,
  ): FirecrackerProcess {
    const user = jailer === null ? (process.getuid?.() ?? 0) : freshUser();
    const { keeper, cellDirectory: base } = this.#options;
    const jail = { firecracker, base, name: cell.name, user, shape: request, fileBytes };
    const command =
      jailer === null
        ? freeCommand(firecracker, cell.name)
        : jailedCommand({
            ...jail,
            jailer,
            hasCgroups: whyNoCgroups() === null,
            boundsSwap: boundsSwap(),
          });
    const files = given.map(({ name, how }, index) => `${FIRST_FD + index}:${how}:${name}`);
    const pipes = [FILES.log, FILES.metrics].map((name) => `pipe:${name}`);
    const mode = jailer === null ? 'exec' : 'namespaces';
    // A clone's memory is a file, for which there are none: huge pages would only fill the stacks of Firecracker's
    // threads, which doubles what it takes for itself. A guest that boots is faster with them.
    const pages = request.memory.kind === 'clone' ? ['small-pages'] : [];
    const child = spawn(
      keeper,
      [String(process.pid), cell.root, String(user), mode, ...pages, ...pipes, ...files, '--', ...command],
      { env: {}, cwd: '/', stdio: ['ignore', 'pipe', 'pipe', ...given.map(({ file }) => file.fd)] },
    );
    const running = Object.assign(child, outputOf(child, 'Firecracker'));
    const to = request.memory.kind === 'clone' ? 'frozen guest' : 'booting guest';
    return new FirecrackerProcess(running, cell, to, mode === 'namespaces', this.#tally);
  }

  #inspected(): Promise<Programs> {
    this.#programs ??= this.#inspect().catch((error: unknown) => {
      this.#programs = null;
      throw error;
    });
    return this.#programs;
  }

  async #inspect(): Promise<Programs> {
    const { binary, jailer: wantedJailer, cellDirectory, kvmDevice } = this.#options;
    const firecracker = requireProgram(binary, 'Firecracker', '--firecracker-bin');
    const version = await versionOf('Firecracker', firecracker);
    assertSupported(version);
    const jailer = wantedJailer === null ? null : requireProgram(wantedJailer, 'The jailer', '--jailer-bin');
    if (jailer !== null) {
      requireRoot();
      assertSafeJailer(await versionOf('Jailer', jailer), version);
      enableCgroups();
    }
    requireKvm(kvmDevice);
    makeDirectory(cellDirectory, 0o700);
    const left = await sweepCells(cellDirectory);
    const notes = [...notesOf(jailer !== null), ...left];
    const facts = { version: `Firecracker ${version.text}`, notes };
    return { firecracker, jailer, version, facts };
  }
}

function requireProgram(nameOrPath: string, what: string, flag: string): string {
  const found = findProgram(nameOrPath);
  if (found !== null) return found;
  throw new GlasshouseError(
    'tool_missing',
    `${what} was not found as ${nameOrPath}. ${SETUP_ADVICE}, or say where it is with ${flag}.`,
  );
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new GlasshouseError(
    'backend_unavailable',
    'The jailer needs root. Start Glasshouse as root; for development, --no-jailer does without.',
  );
}

function requireKvm(device: string): void {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === null) throw error;
    const message =
      code === 'EACCES' || code === 'EPERM'
        ? `No permission to use ${device}: add this user to the group that owns it (usually kvm), or start as root.`
        : `There is no ${device}: Firecracker needs a machine with hardware virtualisation, switched on in its firmware and passed on to this system.`;
    throw new GlasshouseError('backend_unavailable', message, { cause: error });
  }
}

function notesOf(isJailed: boolean): readonly string[] {
  if (!isJailed)
    return ['started without the jailer: Firecracker runs as the same user as Glasshouse and sees its files'];
  const missing = whyNoCgroups();
  return missing === null ? [] : [missing];
}
