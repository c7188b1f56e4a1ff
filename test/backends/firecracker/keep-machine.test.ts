import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { lineOfDescent } from '../../../src/backends/firecracker/firecracker-process.js';
import { isProcessStopped } from '../../../src/backends/vm/stopped.js';
import { openAnonymousFile } from '../../../src/base/anonymous-file.js';
import { hostHelper } from '../../../src/base/host-helper.js';
import { hasEnded, readProcess } from '../../../src/base/process-table.js';
import { ScratchDirectory } from '../../contract/subject.js';
import { reasonNotToMount, SmallDisk } from '../../small-disk.js';

const helper = hostHelper('keep-machine');
const scratch = new ScratchDirectory();
after(() => {
  scratch[Symbol.dispose]();
});

const skip = existsSync(helper) ? false : 'host/keep-machine is not built';
const isRoot = process.getuid?.() === 0;
const owner = String(process.getuid?.() ?? 0);
let places = 0;

interface Kept {
  readonly directory: string;
  readonly child: ChildProcess;
  readonly output: Promise<string>;
  readonly code: Promise<number | null>;
}

/** Starts `command` in a directory of its own. `given`: what follows the number of the descriptor, and the file. */
function keep(
  command: readonly string[],
  given: readonly (readonly [string, FileHandle])[] = [],
  parts: {
    mode?: string;
    owner?: string;
    parent?: number;
    directory?: string;
    smallPages?: boolean;
    pipes?: readonly string[];
  } = {},
): Kept {
  const directory = parts.directory ?? scratch.make(`kept-${(places += 1)}`);
  const orders = given.map(([order], index) => `${3 + index}:${order}`);
  const child = spawn(
    helper,
    [
      String(parts.parent ?? process.pid),
      directory,
      parts.owner ?? owner,
      parts.mode ?? 'exec',
      ...(parts.smallPages === true ? ['small-pages'] : []),
      ...(parts.pipes ?? []).map((name) => `pipe:${name}`),
      ...orders,
      '--',
      ...command,
    ],
    { env: {}, stdio: ['ignore', 'pipe', 'pipe', ...given.map(([, file]) => file.fd)] },
  );
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr])
    (stream as NodeJS.ReadableStream | null)?.on('data', (chunk: Buffer) => chunks.push(chunk));
  const closed = once(child, 'close') as Promise<[number | null]>;
  return {
    directory,
    child,
    code: closed.then(([code]) => code),
    output: closed.then(() => Buffer.concat(chunks).toString()),
  };
}

/** Resolves once `condition` holds; the time limit of the test is what ends it otherwise. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}

const hasGone = (pid: number): boolean => {
  const entry = readProcess(pid);
  return entry === null || hasEnded(entry);
};

async function sharedFile(content: string): Promise<FileHandle> {
  const path = join(scratch.path, `shared-${(places += 1)}`);
  writeFileSync(path, content);
  return open(path, 'r');
}

describe('keeping a machine', { skip, timeout: 60_000 }, () => {
  it('takes the place of the command, in its directory, with its exit code', async () => {
    const kept = keep(['/bin/sh', '-c', 'pwd; exit 3']);
    assert.equal(await kept.output, `${kept.directory}\n`);
    assert.equal(await kept.code, 3);
  });

  it('gives a file without a name one, so that both ends write to the same', async () => {
    await using file = await openAnonymousFile(scratch.path);
    await file.write('before');
    const kept = keep(['/bin/sh', '-c', 'cat disk; echo -n after > disk'], [['own:disk', file]]);
    assert.equal(await kept.output, 'before');
    assert.equal((await file.read(Buffer.alloc(5), 0, 5, 0)).buffer.toString(), 'after');
  });

  it('shares a file under another name, several times', async () => {
    await using file = await sharedFile('kernel');
    for (const place of ['one', 'two']) {
      const kept = keep(['/bin/cat', place], [[`share:${place}`, file]]);
      assert.equal(await kept.output, 'kernel');
      assert.equal(statSync(join(kept.directory, place)).ino, (await file.stat()).ino);
    }
  });

  it('makes a pipe with a name that only its owner can open', async () => {
    const kept = keep(['/bin/sh', '-c', 'exec 3<>log; echo through >&3; read line <&3; echo $line'], [], {
      pipes: ['log'],
    });
    assert.equal(await kept.output, 'through\n');
    const status = statSync(join(kept.directory, 'log'));
    assert.deepEqual([status.isFIFO(), status.mode & 0o777], [true, 0o600]);
  });

  it('lets nobody have a core of it, and keeps it from io_uring, which filters of system calls do not see', async () => {
    const script = [
      'import ctypes, os, resource',
      'libc = ctypes.CDLL(None, use_errno=True)',
      '# io_uring_setup, _enter and _register, and what is beside them: pidfd_send_signal, open_tree',
      'answers = [libc.syscall(number, -1, 0, 0, 0, 0, 0) and ctypes.get_errno() for number in range(424, 429)]',
      'print(resource.getrlimit(resource.RLIMIT_CORE), answers)',
    ].join('\n');
    const python = spawnSync('sh', ['-c', 'command -v python3'], { encoding: 'utf8' }).stdout.trim();
    const { EPERM, EBADF, EFAULT } = constants.errno;
    const output = await keep([python, '-c', script]).output;
    assert.equal(output, `(1, 1) [${[EBADF, EPERM, EPERM, EPERM, EFAULT].join(', ')}]\n`);
  });

  it('hands the command no descriptor', async () => {
    await using file = await sharedFile('kernel');
    const kept = keep(
      ['/bin/sh', '-c', 'for fd in /proc/self/fd/*; do echo "${fd##*/}"; done'],
      [['share:kernel', file]],
    );
    const numbers = (await kept.output).trim().split('\n').map(Number);
    assert.deepEqual(
      numbers.filter((number) => number > 3),
      [],
    );
  });

  it('has the kernel give it no huge pages where it is told so', async () => {
    // proc_pid_status(5): what becomes of it is the command's own affair from here on, also in its children.
    const ask = ['/bin/sh', '-c', '/bin/grep ^THP_enabled /proc/self/status'];
    for (const [smallPages, answer] of [
      [false, 'THP_enabled:\t1\n'],
      [true, 'THP_enabled:\t0\n'],
    ] as const)
      assert.equal(await keep(ask, [], { smallPages }).output, answer);
  });

  const bad: Readonly<Record<string, readonly string[]>> = {
    'without a mode': [String(process.pid), '/tmp', owner],
    'with a parent that is no number': ['x', '/tmp', owner, 'exec', '--', '/bin/true'],
    'with an owner that is no number': [String(process.pid), '/tmp', 'root', 'exec', '--', '/bin/true'],
    'without a directory': [String(process.pid), '/absent', owner, 'exec', '--', '/bin/true'],
    'with a descriptor that is not open': [
      String(process.pid),
      '/tmp',
      owner,
      'exec',
      '77:own:x',
      '--',
      '/bin/true',
    ],
    'with an order that is none': [String(process.pid), '/tmp', owner, 'exec', 'own:x', '--', '/bin/true'],
    'without a command': [String(process.pid), '/tmp', owner, 'exec', '--', ''],
    'with another parent': ['1', '/tmp', owner, 'exec', '--', '/bin/true'],
  };
  for (const [what, args] of Object.entries(bad)) {
    it(`does nothing when called ${what}`, async () => {
      const child = spawn(helper, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      assert.deepEqual(await once(child, 'close'), [125, null]);
    });
  }

  it('gives up when a name is taken', async () => {
    await using file = await sharedFile('kernel');
    const directory = scratch.make('taken');
    writeFileSync(join(directory, 'kernel'), 'other');
    for (const kept of [
      keep(['/bin/true'], [['share:kernel', file]], { directory }),
      keep(['/bin/true'], [], { directory, pipes: ['kernel'] }),
    ]) {
      assert.equal(await kept.code, 125);
      assert.match(await kept.output, /File exists/);
    }
  });

  it('ends with whoever asked for it', async () => {
    const script = `
      const { spawn } = require('node:child_process');
      const child = spawn(${JSON.stringify(helper)}, [String(process.pid), '/', ${JSON.stringify(owner)}, 'exec', '--', '/bin/sleep', '1000'], { stdio: 'ignore' });
      child.once('spawn', () => console.log(child.pid));
      setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    // Only the command itself has asked to be told: before that, it would end by finding another parent.
    await until(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('/bin/sleep'));
    parent.kill('SIGKILL');
    await until(() => hasGone(pid));
  });
});

describe(
  'keeping a machine as root',
  { skip: skip || (isRoot ? false : 'not root'), timeout: 60_000 },
  () => {
    it('gives the owner its own files and nothing that is shared', async () => {
      await using disk = await openAnonymousFile(scratch.path);
      await using kernel = await sharedFile('kernel');
      const kept = keep(
        ['/bin/true'],
        [
          ['own:disk', disk],
          ['share:kernel', kernel],
        ],
        { owner: '1900000123', pipes: ['log'] },
      );
      assert.equal(await kept.code, 0, await kept.output);
      assert.equal(statSync(join(kept.directory, 'log')).uid, 1_900_000_123);
      assert.equal((await disk.stat()).uid, 1_900_000_123);
      assert.equal((await kernel.stat()).uid, 0);
    });

    it('copies what is shared where it must, with its holes, and never what is written to', async () => {
      const reason = await reasonNotToMount(scratch);
      if (reason !== null) return;
      await using small = await SmallDisk.mount(scratch, 'other', '4m');
      await using file = await sharedFile('');
      await using sparse = await open(`/proc/self/fd/${file.fd}`, 'r+');
      await sparse.truncate(64 * 1024 * 1024);
      await sparse.write(Buffer.from('data'), 0, 4, 32 * 1024 * 1024);
      const shared = keep(['/bin/true'], [['share:memory', file]], { directory: small.path });
      assert.equal(await shared.code, 0, await shared.output);
      assert.equal(statSync(join(small.path, 'memory')).size, 64 * 1024 * 1024);
      assert.equal(
        readFileSync(join(small.path, 'memory'))
          .subarray(32 * 1024 * 1024)
          .toString('latin1', 0, 4),
        'data',
      );
      await using disk = await openAnonymousFile(scratch.path);
      const owned = keep(['/bin/true'], [['own:disk', disk]], { directory: small.path });
      assert.equal(await owned.code, 125);
      assert.match(await owned.output, /cross-device/);
    });

    it('runs the command below a first process of its own, without network', async () => {
      const kept = keep(['/bin/sh', '-c', 'echo $$; cat /proc/net/dev | wc -l'], [], { mode: 'namespaces' });
      // /proc is that of the host, and shows the network of whoever reads it: two lines of heading, and lo.
      assert.deepEqual((await kept.output).trim().split('\n'), ['2', '3']);
    });

    it('says how the command ended', async () => {
      assert.equal(await keep(['/bin/sh', '-c', 'exit 7'], [], { mode: 'namespaces' }).code, 7);
      assert.equal(await keep(['/bin/sh', '-c', 'kill -9 $$'], [], { mode: 'namespaces' }).code, 128 + 9);
      assert.equal(await keep(['/absent'], [], { mode: 'namespaces' }).code, 125);
    });

    it('leaves nothing of a tree that became another user and another session when it is killed', async () => {
      const command = [
        '/usr/bin/setpriv',
        '--reuid',
        '1900000124',
        '--regid',
        '1900000124',
        '--clear-groups',
      ];
      const kept = keep(
        [...command, '/bin/sh', '-c', '/usr/bin/setsid /bin/sleep 1000 & /bin/sleep 1000'],
        [],
        {
          mode: 'namespaces',
        },
      );
      const pid = kept.child.pid ?? 0;
      await until(() => lineOfDescent(pid).length >= 5);
      const tree = lineOfDescent(pid);
      kept.child.kill('SIGKILL');
      await kept.code;
      await until(() => tree.every(hasGone));
    });

    it('shows which of its processes is stopped', async () => {
      const kept = keep(['/bin/sleep', '1000'], [], { mode: 'namespaces' });
      const pid = kept.child.pid ?? 0;
      await until(() => lineOfDescent(pid).length === 3);
      const last = lineOfDescent(pid).at(-1) ?? 0;
      assert.ok(!lineOfDescent(pid).some(isProcessStopped));
      process.kill(last, 'SIGSTOP');
      await until(() => lineOfDescent(pid).some(isProcessStopped));
      kept.child.kill('SIGKILL');
      await kept.code;
      await until(() => hasGone(last));
    });
  },
);
