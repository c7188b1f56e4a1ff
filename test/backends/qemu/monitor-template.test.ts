import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Duplex, type Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';

import { freshUser } from '../../../src/backends/vm/unprivileged-user.js';
import { openAnonymousFile } from '../../../src/base/anonymous-file.js';
import { runOrThrow, runToCompletion } from '../../../src/base/child-process.js';
import { hostHelper } from '../../../src/base/host-helper.js';
import { readProcess } from '../../../src/base/process-table.js';
import { ScratchDirectory } from '../../contract/subject.js';

const library = hostHelper('monitor-template.so');
const helper = hostHelper('copy-monitor');
const isRoot = process.getuid?.() === 0;
const hasCompiler = await runToCompletion('cc', ['--version']).then(
  () => true,
  () => false,
);
const skip = existsSync(library) ? (hasCompiler ? false : 'no C compiler') : 'host/template is not built';

/** Descriptors as QEMU has them: commands at 3, a file at 5. Beside them, for copy-monitor, where it reports. */
const COMMANDS_FD = 3;
const FILE_FD = 5;
const REPORT_FD = 6;
const PAGES_FD = 7;
const PAGE_BYTES = 4096;
const EXIT_FAILED = 125;

const scratch = new ScratchDirectory();
const program = join(scratch.path, 'many-threads');
const living = new Set<ChildProcess>();
const files: FileHandle[] = [];
let sockets = 0;

before(async () => {
  if (skip === false)
    await runOrThrow('cc', [
      ...['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-O2', '-pthread'],
      ...['-o', program, join(process.cwd(), 'test/fixtures/template/many-threads.c')],
    ]);
});

after(async () => {
  for (const child of living) await end(child);
  for (const file of files) await file.close();
  scratch[Symbol.dispose]();
});

/** One process that obeys commands: the template, or a copy behind its copy-monitor. */
interface Subject {
  readonly child: ChildProcess;
  /** Of the process itself. */
  readonly pid: number;
  readonly file: FileHandle;
  ask(command: string): Promise<string>;
}

interface Template extends Subject {
  readonly socket: string;
}

function subject(child: ChildProcess, pid: number, file: FileHandle): Subject {
  const commands = child.stdio[COMMANDS_FD] as Duplex;
  commands.on('error', () => undefined);
  const { stdout } = child;
  assert.ok(stdout !== null);
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  return {
    child,
    pid,
    file,
    ask: async (command) => {
      if (command !== '') commands.write(`${command}\n`);
      const line = await lines.next();
      return line.done === true ? '' : line.value;
    },
  };
}

async function openFile(): Promise<FileHandle> {
  const file = await openAnonymousFile(scratch.path);
  files.push(file);
  return file;
}

async function startTemplate(): Promise<Template> {
  const socket = join(scratch.path, `s${(sockets += 1)}`);
  const file = await openFile();
  const child = spawn(program, [], {
    env: {
      LD_PRELOAD: library,
      GLASSHOUSE_TEMPLATE_SOCKET: socket,
      GLASSHOUSE_TEMPLATE_PARENT: String(process.pid),
    },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'ignore', file.fd],
  });
  living.add(child);
  const template = { ...subject(child, child.pid ?? 0, file), socket };
  assert.equal(await template.ask(''), 'ready');
  return template;
}

function startHelper(
  socket: string,
  owner: number,
  file: FileHandle,
  fds: readonly number[],
  pages: FileHandle | null = null,
): ChildProcess {
  const args = [process.pid, socket, owner, REPORT_FD, PAGES_FD, ...fds].map(String);
  const child = spawn(helper, args, {
    env: {},
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'ignore', file.fd, 'pipe', pages?.fd ?? 'ignore'],
  });
  living.add(child);
  return child;
}

async function copy(
  template: Template,
  owner = isRoot ? freshUser() : 0,
  pages: FileHandle | null = null,
): Promise<Subject> {
  const file = await openFile();
  const child = startHelper(template.socket, owner, file, [1, 2, COMMANDS_FD, FILE_FD], pages);
  const [report] = (await once((child.stdio as readonly unknown[])[REPORT_FD] as Readable, 'data')) as [
    Buffer,
  ];
  return subject(child, Number(report.toString()), file);
}

/** What copy-monitor says when there is no copy. */
async function refusal(child: ChildProcess): Promise<{ code: number | null; words: string }> {
  let words = '';
  child.stderr?.on('data', (chunk: Buffer) => (words += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  living.delete(child);
  return { code, words };
}

async function end(child: ChildProcess): Promise<void> {
  living.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

async function untilGone(pid: number): Promise<void> {
  while (readProcess(pid) !== null) await new Promise((resolve) => setImmediate(resolve));
}

function statusOf(pid: number, field: string): string {
  return (
    new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? ''
  );
}

describe('a template', { skip, timeout: 120_000 }, () => {
  it('is copied with all its threads, each of which goes on where it was', async () => {
    const template = await startTemplate();
    assert.match(await template.ask('count'), /waiters 6004 wrong 0$/);
    const one = await copy(template);
    const other = await copy(template);
    // Each has what the template had, and from here on its own.
    assert.equal(await one.ask('count'), `pid ${one.pid} waiters 6008 wrong 0`);
    assert.equal(await one.ask('count'), `pid ${one.pid} waiters 6012 wrong 0`);
    assert.equal(await other.ask('count'), `pid ${other.pid} waiters 6008 wrong 0`);
    assert.match(await template.ask('count'), /waiters 6008 wrong 0$/);
    for (const each of [one, other, template]) assert.equal(await each.ask('computed'), 'computed right');
    await end(template.child);
  });

  it('is copied again and again while it computes, and nothing of the copies stays', async () => {
    const template = await startTemplate();
    const descriptors = readdirSync(`/proc/${template.pid}/fd`).length;
    for (let round = 0; round < 50; round += 1) {
      const each = await copy(template);
      assert.match(await each.ask('count'), /waiters 6004 wrong 0$/);
      assert.equal(await each.ask('computed'), 'computed right');
      await end(each.child);
    }
    assert.equal(await template.ask('computed'), 'computed right');
    const children = readFileSync(`/proc/${template.pid}/task/${template.pid}/children`, 'utf8');
    assert.equal(children, '');
    while (readdirSync(`/proc/${template.pid}/fd`).length > descriptors)
      await new Promise((resolve) => setImmediate(resolve));
    await end(template.child);
  });

  it('gives its copies descriptors of their own', async () => {
    const template = await startTemplate();
    await template.ask('counter');
    const one = await copy(template);
    await one.ask('file written by the copy');
    assert.equal((await one.file.read()).buffer.toString('latin1', 0, 19), 'written by the copy');
    assert.equal((await template.file.stat()).size, 0);
    // What was about to be noticed is noticed in every copy; from then on nobody sees what another counts.
    assert.equal(await one.ask('take'), 'took 1');
    assert.equal(await one.ask('add'), 'added 8');
    assert.equal(await template.ask('take'), 'took 0');
    assert.equal(await one.ask('take'), 'took 5');
    for (const fd of [1, 2, COMMANDS_FD]) assert.notEqual(target(one.pid, fd), target(template.pid, fd));
    await end(template.child);
  });

  it('gives a copy the memory that it asks for as its own, and does not change what is there', async (test) => {
    if (!isRoot) {
      test.skip('needs root: a copy lets nobody else look');
      return;
    }
    const template = await startTemplate();
    const idle = Number((await template.ask('idle')).split(' ')[0]);
    const addresses = [idle + 1, idle + 2 * PAGE_BYTES];
    const pages = await openFile();
    await pages.write(Buffer.from(BigUint64Array.from(addresses.map(BigInt)).buffer), 0, 16, 0);
    const one = await copy(template, freshUser(), pages);
    const other = await copy(template);
    const owned = (pid: number): boolean[] =>
      [0, 1, 2, 3].map((page) => isOwn(pid, idle + page * PAGE_BYTES));
    assert.deepEqual(owned(one.pid), [true, false, true, false]);
    assert.deepEqual(owned(other.pid), [false, false, false, false]);
    for (const each of [one, template]) assert.equal(await each.ask('idle'), `${idle} whole`);
    await end(template.child);
  });

  it('confines its copies', async () => {
    const template = await startTemplate();
    const owner = isRoot ? freshUser() : 0;
    const one = await copy(template, owner);
    assert.equal(statusOf(one.pid, 'Seccomp'), '2');
    assert.equal(statusOf(one.pid, 'NoNewPrivs'), '1');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      assert.match(statusOf(one.pid, set), /^0+$/, set);
    if (isRoot) {
      assert.match(statusOf(one.pid, 'CapBnd'), /^0+$/);
      for (const ids of ['Uid', 'Gid'])
        assert.deepEqual(new Set(statusOf(one.pid, ids).split('\t')), new Set([String(owner)]));
      assert.equal(statusOf(one.pid, 'Groups').trim(), '');
    }
    const [, ...tried] = (await one.ask('try')).split(' ');
    const allowed = tried.filter((each) => !/:(EPERM|ENOSYS)$/.test(each));
    assert.deepEqual(allowed, ['thread:allowed']);
    assert.ok(tried.length > 15);
    await end(template.child);
  });

  it('tells how a copy ended through copy-monitor', async () => {
    const template = await startTemplate();
    for (const [command, code, signal] of [
      ['exit 7', 7, null],
      ['divide', null, 'SIGFPE'],
    ] as const) {
      const one = await copy(template);
      const closed = once(one.child, 'close');
      assert.equal(await one.ask(command), '');
      assert.deepEqual(await closed, [code, signal]);
    }
    await end(template.child);
  });

  for (const [who, ended] of [
    ['copy-monitor', (template: Template, one: Subject) => end(one.child).then(() => template)],
    ['the template', (template: Template) => end(template.child).then(() => template)],
  ] as const) {
    it(`sees its copies end with ${who}`, async () => {
      const template = await startTemplate();
      const one = await copy(template);
      await ended(template, one);
      await untilGone(one.pid);
      await end(template.child);
    });
  }

  it('ends a copy that is stopped, when its copy-monitor ends', async () => {
    const template = await startTemplate();
    const one = await copy(template);
    process.kill(one.pid, 'SIGSTOP');
    while (readProcess(one.pid)?.state !== 'T') await new Promise((resolve) => setImmediate(resolve));
    await end(one.child);
    await untilGone(one.pid);
    await end(template.child);
  });

  it('dies of a fault of its own as it would without us', async () => {
    const template = await startTemplate();
    const closed = once(template.child, 'close');
    assert.equal(await template.ask('divide'), '');
    assert.deepEqual(await closed, [null, 'SIGFPE']);
  });

  it('makes no copy that would share what it cannot have twice', async () => {
    const template = await startTemplate();
    await template.ask('epoll');
    const { code, words } = await refusal(
      startHelper(template.socket, 0, template.file, [1, 2, COMMANDS_FD, FILE_FD]),
    );
    assert.deepEqual([code, words], [EXIT_FAILED, 'copy-monitor: make a copy: Operation not supported\n']);
    assert.match(await template.ask('count'), /waiters 6004/);
    await end(template.child);
  });

  it('makes no copy for a descriptor that it has never had', async () => {
    const template = await startTemplate();
    const { code, words } = await refusal(startHelper(template.socket, 0, template.file, [REPORT_FD]));
    assert.deepEqual([code, words], [EXIT_FAILED, 'copy-monitor: make a copy: Bad file descriptor\n']);
    await end(template.child);
  });

  it('does not start when its parent is another one', async () => {
    const socket = join(scratch.path, 'orphan');
    const child = spawn(program, [], {
      env: { LD_PRELOAD: library, GLASSHOUSE_TEMPLATE_SOCKET: socket, GLASSHOUSE_TEMPLATE_PARENT: '1' },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    });
    const { code, words } = await refusal(child);
    assert.deepEqual([code, words], [EXIT_FAILED, 'monitor template: No such process\n']);
  });
});

describe('copy-monitor', { skip }, () => {
  for (const args of [[], ['1', '/s', '0', '6'], ['1', '/s', '0', '6', 'x'], ['1', '/s', '-1', '6', '1']]) {
    it(`refuses ${JSON.stringify(args)}`, async () => {
      const { exitCode, stderr } = await runToCompletion(helper, args);
      assert.equal(exitCode, EXIT_FAILED);
      assert.match(stderr.toString(), /^usage: copy-monitor /);
    });
  }

  it('says when nobody listens', async () => {
    await using nothing = await open('/dev/null');
    const { code, words } = await refusal(startHelper(join(scratch.path, 'nobody'), 0, nothing, [1]));
    assert.deepEqual(
      [code, words],
      [EXIT_FAILED, 'copy-monitor: reach the template: No such file or directory\n'],
    );
  });
});

/** Whether nobody shares the page (bit 56, Documentation/admin-guide/mm/pagemap.rst). */
function isOwn(pid: number, address: number): boolean {
  const pagemap = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    const entry = Buffer.alloc(8);
    readSync(pagemap, entry, 0, 8, (address / PAGE_BYTES) * 8);
    return (entry.readBigUInt64LE() & (1n << 56n)) !== 0n;
  } finally {
    closeSync(pagemap);
  }
}

/** What a descriptor of a process is, as the kernel names it. */
function target(pid: number, fd: number): string {
  return readlinkSync(`/proc/${pid}/fd/${fd}`);
}
