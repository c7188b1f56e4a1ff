import { guestKernelParameters } from '../vm/kernel-parameters.js';
import { type Accelerator, type MachineMemory } from '../vm/machine.js';

/** Descriptors that QEMU inherits: it opens nothing of ours by name. */
export const LINK_FD = 3;
export const ROOT_FD = 4;
export const WORKSPACE_FD = 5;
export const KERNEL_FD = 6;
export const INITRAMFS_FD = 7;
export const MEMORY_FD = 8;
export const CONTROL_FD = 9;
export const STATE_FD = 10;
export const LIBRARY_FD = 11;

/** Translated code that TCG keeps, in MiB; more than a short program ever fills. */
const TRANSLATION_CACHE_MB = 48;

export interface CommandLineOptions {
  readonly memory: MachineMemory['kind'];
  readonly accelerator: Accelerator;
  readonly memoryMb: number;
  readonly cpus: number;
  /** Of the host, which is the guest's under TCG; see host-tsc.ts. Null: unknown. */
  readonly tscKhz: number | null;
  /** False for a template, which must be able to copy itself; its copies are confined by other means. */
  readonly confinesItself: boolean;
}

/** The kernel command line of a guest (Documentation/admin-guide/kernel-parameters.rst). */
export function kernelCommandLine(options: Pick<CommandLineOptions, 'accelerator' | 'tscKhz'>): string {
  // -no-reboot turns a triple fault into QEMU's end.
  const parameters = guestKernelParameters('t');
  // Without it one boot in five hangs under TCG: the kernel calibrates against a timer whose interrupt never comes.
  // tsc=reliable: otherwise its clock counts ticks, which an emulator on a busy host loses.
  // Rewriting its own code at boot costs an emulated kernel more than the faster code ever gives back.
  if (options.accelerator === 'tcg') parameters.push('noreplace-smp', 'noreplace-paravirt');
  // An emulated processor does not speculate, and nobody reads in the guest how long its tasks had to wait.
  if (options.accelerator === 'tcg') parameters.push('mitigations=off', 'psi=0');
  if (options.accelerator === 'tcg' && options.tscKhz !== null) {
    parameters.push(`tsc_early_khz=${options.tscKhz}`, 'tsc=reliable');
  }
  return parameters.join(' ');
}

/** QEMU's arguments for one microvm (docs/system/i386/microvm.rst), without the program's name. */
export function qemuArguments(options: CommandLineOptions): string[] {
  const { accelerator } = options;
  return [
    // No configuration file, no default device, no network, no monitor, no window.
    ...['-no-user-config', '-nodefaults', '-display', 'none', '-monitor', 'none', '-nic', 'none'],
    ...sandboxArguments(options),
    // acpi=on: Debian's kernel finds virtio-mmio devices through ACPI only. rtc=on: without one the kernel waits a second for it.
    ...['-machine', machineType(options)],
    ...accelerationArguments(accelerator),
    ...['-m', String(options.memoryMb), '-smp', String(options.cpus)],
    ...memoryArguments(options),
    '-no-reboot',
    ...(options.memory === 'clone' ? ['-incoming', 'defer'] : bootArguments(options)),
    // The guest's console comes out of QEMU's stdout; its stdin is /dev/null.
    ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    ...['-chardev', `socket,id=link,fd=${LINK_FD}`, '-device', 'virtio-serial-device,max_ports=2'],
    ...['-device', 'virtserialport,chardev=link,name=glasshouse.link'],
    ...driveArguments('root', ROOT_FD, 1, 'read-only=on'),
    // The workspace dies with the machine: nothing in it needs to survive a power cut.
    ...driveArguments('workspace', WORKSPACE_FD, 2, 'read-only=off,cache.direct=off,cache.no-flush=on'),
  ];
}

/** The emulator may not start processes, gain privileges or change its scheduling. */
function sandboxArguments({ confinesItself }: CommandLineOptions): string[] {
  if (!confinesItself) return [];
  return ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'];
}

function machineType({ accelerator, memory }: CommandLineOptions): string {
  const interrupts = accelerator === 'kvm' ? ',ioapic2=off' : '';
  const backend = memory === 'own' ? '' : ',memory-backend=memory';
  return `microvm,acpi=on,rtc=on,isa-serial=on${interrupts}${backend}`;
}

/** Memory in a file, shared with it or on top of it, and a monitor for freezing and going on. */
function memoryArguments({ memory, memoryMb }: CommandLineOptions): string[] {
  if (memory === 'own') return [];
  const share = memory === 'clone' ? 'off' : 'on';
  const file = `id=memory,size=${memoryMb}M,mem-path=/proc/self/fd/${MEMORY_FD},share=${share}`;
  return [
    ...['-object', `memory-backend-file,${file}`],
    ...['-chardev', `socket,id=control,fd=${CONTROL_FD}`, '-mon', 'chardev=control,mode=control'],
  ];
}

function bootArguments(options: CommandLineOptions): string[] {
  return [
    ...['-kernel', `/proc/self/fd/${KERNEL_FD}`, '-initrd', `/proc/self/fd/${INITRAMFS_FD}`],
    ...['-append', kernelCommandLine(options)],
  ];
}

function accelerationArguments(accelerator: Accelerator): string[] {
  if (accelerator === 'kvm') return ['-accel', 'kvm', '-cpu', 'host'];
  return ['-accel', `tcg,thread=multi,tb-size=${TRANSLATION_CACHE_MB}`, '-cpu', 'max'];
}

/** Errors of the host's disk reach the guest as I/O errors; the default would freeze the machine for ever. */
function driveArguments(name: string, fd: number, set: number, access: string): string[] {
  return [
    ...['-add-fd', `fd=${fd},set=${set}`],
    ...['-blockdev', `driver=file,node-name=${name}-file,filename=/dev/fdset/${set},locking=off,${access}`],
    ...['-blockdev', `driver=raw,node-name=${name},file=${name}-file,${access}`],
    ...['-device', `virtio-blk-device,drive=${name},werror=report,rerror=report`],
  ];
}
