import { closeSync, openSync, readSync, readdirSync } from 'node:fs';
import { endianness } from 'node:os';

import { GlasshouseError } from '../../base/errors.js';

/** As much as the kernel looks at (BINPRM_BUF_SIZE). */
const HEAD_BYTES = 256;
const ELF_MAGIC = Buffer.from('\x7fELF');
/** ELF header: e_machine is the half word at 18. */
const ELF_MACHINE_OFFSET = 18;
/** Machines that a kernel runs beside its own: x86-64 runs i386, AArch64 runs ARM (e_machine numbers of elf(5)). */
const COMPATIBLE_MACHINES: Readonly<Record<number, readonly number[]>> = { 62: [3], 183: [40] };

/**
 * Throws `command_not_executable` for what execve(2) would refuse with ENOEXEC: neither `#!` nor ELF for this machine
 * nor anything that binfmt_misc may know. What cannot be read is left to the kernel.
 */
export function assertExecutableFormat(file: string): void {
  const head = readHead(file);
  if (head === null || head.subarray(0, 2).toString('latin1') === '#!') return;
  if (isElf(head) ? runsOnThisMachine(head) : false) return;
  if (hasOtherFormats()) return;
  throw new GlasshouseError('command_not_executable', `${JSON.stringify(file)} ${describeProblem(head)}`);
}

/** The interpreter that the `#!` line of a script names; null for anything else. */
export function interpreterOf(file: string): string | null {
  const head = readHead(file)?.toString('utf8') ?? '';
  return /^#![ \t]*([^ \t\n]+)/.exec(head)?.[1] ?? null;
}

function describeProblem(head: Buffer): string {
  if (head.length === 0) return 'is empty';
  if (isElf(head)) return 'is a program for another kind of processor';
  return 'is not a program: a script needs a first line such as #!/bin/sh (or run it with `sh FILE`)';
}

function isElf(head: Buffer): boolean {
  return head.subarray(0, ELF_MAGIC.length).equals(ELF_MAGIC);
}

function runsOnThisMachine(head: Buffer): boolean {
  const own = machineOf(readHead('/proc/self/exe'));
  const machine = machineOf(head);
  if (own === null || machine === null) return true;
  return machine === own || (COMPATIBLE_MACHINES[own]?.includes(machine) ?? false);
}

function machineOf(head: Buffer | null): number | null {
  if (head === null || head.length < ELF_MACHINE_OFFSET + 2) return null;
  return endianness() === 'LE'
    ? head.readUInt16LE(ELF_MACHINE_OFFSET)
    : head.readUInt16BE(ELF_MACHINE_OFFSET);
}

/** Whether somebody has taught the kernel further formats (binfmt_misc), which only the kernel can then judge. */
function hasOtherFormats(): boolean {
  try {
    const names = readdirSync('/proc/sys/fs/binfmt_misc');
    return names.some((name) => name !== 'register' && name !== 'status');
  } catch {
    return false; // binfmt_misc is not there.
  }
}

function readHead(file: string): Buffer | null {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch {
    return null; // May be executed but not read.
  }
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    return head.subarray(0, readSync(descriptor, head));
  } catch {
    return null; // For example EIO: the kernel will say so in its own words.
  } finally {
    closeSync(descriptor);
  }
}
