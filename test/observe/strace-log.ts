import { readFileSync, realpathSync } from 'node:fs';

import { below, type Fact, numbered } from './facts.js';

/** What strace is asked for. With -y it shows what descriptors lead to. */
export const STRACE_FLAGS = [
  '-f',
  '-y',
  '-x',
  '-s',
  '200000',
  '-e',
  'trace=execve,execveat,open,openat,openat2,creat,unlink,unlinkat,rmdir,rename,renameat,renameat2,mkdir,mkdirat,' +
    'link,linkat,symlink,symlinkat,connect,chdir,fchdir,chroot,clone,clone3,fork,vfork',
  '-e',
  'signal=none',
];

interface Call {
  readonly pid: number;
  readonly name: string;
  readonly args: string;
  readonly result: string;
}

/** The facts in a log of strace. `cwd` is where it began, `chroot` what it makes its root; bytes are kept as Latin-1. */
export function factsOfLog(log: string, cwd: string, chroot: string | null): Fact[] {
  const reader = new LogReader(cwd, chroot === null ? null : below(cwd, chroot));
  for (const call of callsOf(log)) reader.take(call);
  return [...numbered(reader.executed), ...reader.facts];
}

/** Calls in the order of their ends; those that were interrupted by another process's are put together. */
function callsOf(log: string): Call[] {
  const unfinished = new Map<number, string>();
  return log.split('\n').flatMap((line) => {
    const [, pidText, rest] = /^(\d+) +(.*)$/s.exec(line) ?? [];
    if (pidText === undefined || rest === undefined) return [];
    const pid = Number(pidText);
    const begun = /^(.*) <unfinished \.\.\.>$/s.exec(rest);
    if (begun !== null) {
      unfinished.set(pid, begun[1] ?? '');
      return [];
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/s.exec(rest);
    const whole = resumed === null ? rest : `${unfinished.get(pid) ?? ''}${resumed[1] ?? ''}`;
    const [, name, args, result] = /^(\w+)\((.*)\)\s+= (.*)$/s.exec(whole) ?? [];
    return name === undefined || args === undefined || result === undefined
      ? []
      : [{ pid, name, args, result }];
  });
}

class LogReader {
  readonly facts: Fact[] = [];
  readonly executed: Fact[] = [];
  readonly #start: string;
  readonly #directories = new Map<number, string>();

  /** What is to become the root, and for whom it is. */
  readonly #jail: string | null;
  readonly #jailed = new Set<number>();

  constructor(start: string, jail: string | null) {
    this.#start = start;
    this.#jail = jail;
  }

  take(call: Call): void {
    const { name, args, result, pid } = call;
    if (name === 'connect') {
      this.#connect(args);
      return;
    }
    if (!/^\d/.test(result)) return;
    const strings = stringsIn(args);
    const directories = descriptorsIn(args);
    const cwd = this.#directories.get(pid) ?? this.#start;
    const at = (index: number): string => this.#below(pid, directories[index] ?? cwd, strings[index] ?? '');
    switch (name) {
      case 'clone':
      case 'clone3':
      case 'fork':
      case 'vfork':
        this.#directories.set(Number.parseInt(result, 10), cwd);
        if (this.#jailed.has(pid)) this.#jailed.add(Number.parseInt(result, 10));
        return;
      case 'chroot':
        this.#jailed.add(pid);
        return;
      case 'chdir':
        this.#directories.set(pid, resolved(at(0)));
        return;
      case 'fchdir':
        this.#directories.set(pid, directories[0] ?? cwd);
        return;
      case 'execve':
        this.#execute(at(0));
        return;
      case 'execveat':
        this.#execute(at(0));
        return;
      case 'open':
      case 'openat':
      case 'openat2':
      case 'creat':
        this.#open(result);
        return;
      case 'unlink':
      case 'rmdir':
      case 'unlinkat':
        this.facts.push(`delete ${at(0)}`);
        return;
      case 'rename':
      case 'renameat':
      case 'renameat2':
        this.facts.push(`rename ${at(0)} to ${at(1)}`);
        return;
      case 'mkdir':
      case 'mkdirat':
        this.facts.push(`mkdir ${at(0)}`);
        return;
      case 'link':
      case 'linkat':
        this.facts.push(`link ${at(1)}`);
        return;
      case 'symlink':
      case 'symlinkat':
        this.facts.push(`symlink ${this.#below(pid, directories[0] ?? cwd, strings[1] ?? '')}`);
    }
  }

  /** An absolute name starts from the process's own root. */
  #below(pid: number, directory: string, name: string): string {
    const root = this.#jailed.has(pid) ? this.#jail : null;
    return root !== null && name.startsWith('/') ? below(root, `.${name}`) : below(directory, name);
  }

  #open(result: string): void {
    const path = unescape(/^\d+<(.*?)>(?:\(deleted\))?$/s.exec(result)?.[1] ?? '').replace(
      / \(deleted\)$/,
      '',
    );
    // Pipes and sockets are no files.
    if (path.startsWith('/')) this.facts.push(`open ${path}`);
  }

  #execute(path: string): void {
    if (/^\/memfd:|^\/proc\/(self|\d+)\/fd\//.test(path)) this.executed.push('exec memory');
    else this.executed.push(`exec ${interpreterOf(resolved(path))}`);
  }

  #connect(args: string): void {
    const inet = /inet_addr\("([^"]*)"\)/.exec(args)?.[1];
    const inet6 = /inet_pton\(AF_INET6, "([^"]*)"/.exec(args)?.[1];
    const unix = /sun_path=(@?)"((?:[^"\\]|\\.)*)"/s.exec(args);
    const address = inet ?? inet6 ?? (unix === null ? null : `${unix[1] ?? ''}${unescape(unix[2] ?? '')}`);
    if (address !== null) this.facts.push(`connect ${address}`);
  }
}

/** Quoted strings that are not inside of a list, such as argv. */
function stringsIn(args: string): string[] {
  const outside = args.replaceAll(/\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\]/gs, '');
  return [...outside.matchAll(/"((?:[^"\\]|\\.)*)"/gs)].map((match) => unescape(match[1] ?? ''));
}

/** What directory descriptors lead to. */
function descriptorsIn(args: string): string[] {
  const withoutStrings = args.replaceAll(/"(?:[^"\\]|\\.)*"/gs, '""');
  return [...withoutStrings.matchAll(/(?:^|, )(?:AT_FDCWD|\d+)<([^>]*)>/gs)].map((match) =>
    unescape(match[1] ?? '').replace(/ \(deleted\)$/, ''),
  );
}

/** C escapes as strace writes them. */
function unescape(text: string): string {
  const letters: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', v: '\v', f: '\f' };
  return text.replaceAll(/\\(?:x([0-9a-f]{2})|([0-7]{1,3})|(.))/gs, (_, hex, octal, letter: string) => {
    if (typeof hex === 'string') return String.fromCharCode(Number.parseInt(hex, 16));
    if (typeof octal === 'string') return String.fromCharCode(Number.parseInt(octal, 8));
    return letters[letter] ?? letter;
  });
}

/** After symbolic links, as far as it still exists. */
function resolved(path: string): string {
  try {
    return realpathSync(Buffer.from(path, 'latin1'), { encoding: 'buffer' }).toString('latin1');
  } catch {
    return path; // It has been deleted since.
  }
}

/** What the kernel loads for it: of a script the program that its first line names. */
function interpreterOf(path: string): string {
  try {
    const first = /^#! *(\S+)/.exec(
      readFileSync(Buffer.from(path, 'latin1')).toString('latin1', 0, 256),
    )?.[1];
    return first === undefined ? path : resolved(first);
  } catch {
    return path; // It has been deleted since.
  }
}
