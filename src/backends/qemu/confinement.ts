import { readFileSync, statSync } from 'node:fs';

import { freshUser } from '../vm/unprivileged-user.js';

/** Descriptors that an emulator needs at most. */
const MAX_OPEN_FILES = 256;
/** A template has two more for each of its copies, whose own limit is set in host/template. */
const MAX_OPEN_FILES_OF_TEMPLATE = 1024;

/**
 * The kernel tells of a parent's death only who asked before it died (prctl(2), PR_SET_PDEATHSIG): whoever comes too
 * late finds another parent, and ends. What is executed are arguments, never text for the shell.
 */
const WHILE_WE_LIVE = [
  'sh',
  '-c',
  'unset PWD; [ "$PPID" = "$0" ] && exec "$@"',
  String(process.pid),
] as const;

/** Number of the capability to raise limits, in linux/capability.h. */
const CAP_SYS_RESOURCE = 24;

export interface Confinement {
  /** Command and leading arguments; the emulator's own follow. Each step execs the next: one process in the end. */
  readonly prefix: readonly [string, ...string[]];
  /** What could not be done. */
  readonly notes: readonly string[];
}

const NAMESPACES = ['unshare', '--net', '--ipc', '--uts', '--'] as const;

/**
 * How a template is started. No program that somebody sent ever runs in it, and it stays who we are: its copies take
 * another user, give all privileges up and refuse most system calls before they go on (host/template/confine.c).
 */
export function templateConfinement(): readonly [string, ...string[]] {
  const limits = ['prlimit', noCore(), `--nofile=${MAX_OPEN_FILES_OF_TEMPLATE}`] as const;
  return process.getuid?.() === 0 ? [...NAMESPACES, ...limits] : limits;
}

/**
 * How the emulator is started so that breaking out of the guest gains little: as root, under a user of its own
 * that owns nothing, without capabilities, without network; always without new privileges, and killed by the
 * kernel when Glasshouse dies. The tools are util-linux, which every Debian has.
 */
export function confinement(needsKvm: boolean): Confinement {
  const limits = ['prlimit', noCore(), `--nofile=${MAX_OPEN_FILES}`] as const;
  const always = ['--no-new-privs', '--inh-caps=-all', '--pdeathsig', 'KILL'];
  if (process.getuid?.() !== 0) {
    return {
      prefix: [...limits, 'setpriv', ...always, ...WHILE_WE_LIVE],
      notes: ['not started as root: the emulator runs as the same user as Glasshouse and keeps its network'],
    };
  }
  const id = String(freshUser());
  // Never the group of root: too much on a machine is open to it.
  const kvmGroup = needsKvm ? statSync('/dev/kvm').gid : 0;
  const groups = kvmGroup === 0 ? ['--clear-groups'] : ['--groups', String(kvmGroup)];
  const user = ['--reuid', id, '--regid', id, ...groups, '--bounding-set=-all'];
  return {
    prefix: [...NAMESPACES, ...limits, 'setpriv', ...user, ...always, ...WHILE_WE_LIVE],
    notes: [],
  };
}

/**
 * One byte is less than any core, and the one limit at which the kernel hands none to a program either (fs/coredump.c).
 * Who may not raise a limit of 0 (capabilities(7)) stays with that.
 */
function noCore(): string {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  const isZero = /^Max core file size +\S+ +0 /m.test(limits);
  return `--core=${isZero && !hasCapability(CAP_SYS_RESOURCE) ? 0 : 1}`;
}

function hasCapability(number: number): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> BigInt(number)) & 1n) === 1n;
}
