import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Readable } from 'node:stream';
import { finished } from 'node:stream/promises';

import { hostTscKhz } from '../../src/backends/qemu/host-tsc.js';
import { systemErrorCode } from '../../src/base/errors.js';
import { OUTER_INIT, type OuterRoot } from './outer-root.js';

/** Two for the job, and the first one, on which no guest may run: outer/init.sh says why. */
const CPUS = 3;
const MEMORY_MEBIBYTES = 6 * 1024;
/** A stream of QEMU's. Not its standard output: what QEMU itself has to say is not the job's. */
const OUTPUT_FD = 3;
/** The translated code of the outer kernel, KVM, the monitors and the guests inside, in MiB. */
const TRANSLATION_MEBIBYTES = 1024;

/**
 * EPYC has SVM, which the emulator knows, and few other extensions that would cost it time. It would warn of those that
 * it does not know.
 */
const PROCESSOR = 'EPYC,fxsr-opt=off,misalignsse=off,osvw=off,topoext=off,nrip-save=off,xsavec=off';

export interface OuterMachine {
  readonly root: OuterRoot;
  readonly sharedDisk: string;
  readonly scratchDisk: string;
  /** Where its serial console is written. */
  readonly consoleLog: string;
  /** Where what the job writes is written, beside our standard output. */
  readonly outputLog: string;
  /** Where the machine says how the job ended. */
  readonly resultFile: string;
}

/**
 * Runs the outer guest until it turns itself off or the signal ends it, with the output of its job on standard output.
 * Resolves to the exit code of the job; null when the machine ended without one.
 */
export async function runOuterMachine(machine: OuterMachine, signal: AbortSignal): Promise<number | null> {
  const [program, ...args] = await outerCommand(machine);
  // It dies with us, however we die.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], {
    // Not in our process group: Ctrl-C is for us.
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  });
  const output = child.stdio[OUTPUT_FD] as Readable;
  const log = createWriteStream(machine.outputLog);
  output.pipe(process.stdout, { end: false });
  output.pipe(log);
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  signal.addEventListener('abort', kill, { once: true });
  try {
    if (signal.aborted) kill();
    await once(child, 'close');
    await finished(log);
  } finally {
    signal.removeEventListener('abort', kill);
  }
  return parseResult(await readIfThere(machine.resultFile));
}

/** The exit code in what the machine wrote; null when it wrote none. */
export function parseResult(text: string): number | null {
  const match = /^exit (\d{1,3})\n$/.exec(text);
  return match?.[1] === undefined ? null : Number(match[1]);
}

/** The command that runs the machine: the QEMU of the outer root, with the libraries of that root, on any Linux. */
export async function outerCommand(machine: OuterMachine): Promise<readonly [string, ...string[]]> {
  const inTree = (...parts: string[]): string => join(machine.root.tree, ...parts);
  return [
    inTree('usr/lib64/ld-linux-x86-64.so.2'),
    ...['--library-path', inTree('usr/lib/x86_64-linux-gnu'), inTree('usr/bin/qemu-system-x86_64')],
    ...['-L', inTree('usr/share/qemu'), '-L', inTree('usr/share/seabios')],
    ...[
      '-no-user-config',
      '-nodefaults',
      '-display',
      'none',
      '-monitor',
      'none',
      '-nic',
      'none',
      '-no-reboot',
    ],
    ...['-machine', 'q35', '-cpu', PROCESSOR, '-accel', `tcg,thread=multi,tb-size=${TRANSLATION_MEBIBYTES}`],
    ...['-smp', String(CPUS), '-m', String(MEMORY_MEBIBYTES)],
    ...['-kernel', machine.root.kernel, '-append', await kernelCommandLine()],
    // The kernel has a driver for NVMe built in; but it looks at several such disks at once, and names them in the order
    // in which they answer. Those of virtio are named in the order of this list.
    ...disk('nvme,serial=root', 'root', machine.root.image, 'readonly=on'),
    ...disk('virtio-blk-pci', 'shared', machine.sharedDisk, 'readonly=on'),
    ...disk('virtio-blk-pci', 'scratch', machine.scratchDisk, 'cache=unsafe'),
    ...['-chardev', `file,id=console,path=${escaped(machine.consoleLog)}`, '-serial', 'chardev:console'],
    ...['-device', 'virtio-serial-pci'],
    ...['-chardev', `socket,id=output,fd=${OUTPUT_FD}`, '-device', 'virtserialport,chardev=output,nr=1'],
    ...['-chardev', `file,id=result,path=${escaped(machine.resultFile)}`],
    ...['-device', 'virtserialport,chardev=result,nr=2'],
  ];
}

function disk(device: string, name: string, path: string, option: string): readonly string[] {
  return [
    ...['-drive', `if=none,id=${name},format=raw,${option},file=${escaped(path)}`],
    ...['-device', `${device},drive=${name}`],
  ];
}

/** A path as a value in an option of QEMU. */
function escaped(path: string): string {
  return path.replaceAll(',', ',,');
}

async function kernelCommandLine(): Promise<string> {
  const tscKhz = await hostTscKhz();
  return [
    'root=/dev/nvme0n1 ro rootwait',
    `init=${OUTER_INIT}`,
    'console=ttyS0 panic=-1',
    // A host that is busy makes measured clocks wrong and watchdogs bark.
    'tsc=nowatchdog nowatchdog',
    ...(tscKhz === null ? [] : [`tsc_early_khz=${tscKhz}`]),
  ].join(' ');
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  }
}
