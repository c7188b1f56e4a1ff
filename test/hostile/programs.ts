import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import { type Candidate, LIMITS, reasonToSkip, ScratchDirectory } from '../contract/subject.js';
import { assertStatus, Laboratory, textOf } from './laboratory.js';

const MIB = 1024 * 1024;
const SHORT_MS = 1_500;

/** What hostile programs do to every backend, as the engine reports it. */
export async function describeHostilePrograms(candidate: Candidate): Promise<void> {
  const scratch = new ScratchDirectory();
  const backend = candidate.create(scratch);
  const skip = await reasonToSkip(backend);
  const laboratory = new Laboratory(scratch, backend);
  after(async () => {
    await backend.close();
    laboratory[Symbol.dispose]();
    scratch[Symbol.dispose]();
  });

  describe(`hostile programs on ${candidate.name}`, { skip: skip ?? false, concurrency: 2 }, () => {
    describeDeadlines(laboratory);
    describeFloods(laboratory);
    if (backend.describe().isolation === 'none') describeWithoutIsolation(laboratory);
    else describeInsideGuest(laboratory);
  });

  describe(`after hostile programs on ${candidate.name}`, { skip: skip ?? false }, () => {
    it('the next run works and nothing is left', () => laboratory.assertSoundAndClean());
  });
}

function describeDeadlines(laboratory: Laboratory): void {
  it('a program that does not end is a timeout', async () => {
    const ended = await laboratory.shell('echo begun; exec sleep 1000', { timeoutMs: SHORT_MS });
    assertStatus(ended, 'timeout');
    assert.equal(ended.signal, 'SIGTERM');
    assert.equal(textOf(ended), 'begun\n');
  });

  it('a program that ignores SIGTERM is a timeout', async () => {
    const script = 'trap "" TERM; echo begun; while :; do sleep 1; done';
    const ended = await laboratory.shell(script, { timeoutMs: SHORT_MS });
    assertStatus(ended, 'timeout');
    assert.equal(ended.signal, 'SIGKILL');
  });

  it('a program that stops itself and everything around it is a timeout', async () => {
    const ended = await laboratory.shell('sleep 1000 & kill -STOP 0', { timeoutMs: SHORT_MS });
    assertStatus(ended, 'timeout');
  });

  it('a program that exits while its children hold stdout open ends with its exit', async () => {
    const ended = await laboratory.shell('(trap "" HUP TERM; sleep 1000) & (setsid sleep 1000 &); echo done');
    assertStatus(ended, 'ok');
    assert.equal(textOf(ended), 'done\n');
  });

  it('a canceled program is canceled', async () => {
    const controller = new AbortController();
    const ended = await laboratory.run(
      {
        program: { kind: 'command', argv: ['sleep', '1000'] },
        onStarted: () => {
          controller.abort();
        },
      },
      controller.signal,
    );
    assertStatus(ended, 'canceled');
  });
}

function describeFloods(laboratory: Laboratory): void {
  for (const [stream, redirection] of [
    ['stdout', ''],
    ['stderr', '>&2'],
  ] as const) {
    it(`a flood on ${stream} is an output_limit, cut off at the byte`, async () => {
      const ended = await laboratory.shell(`yes ${redirection}`);
      assertStatus(ended, 'output_limit');
      assert.deepEqual([ended[stream]?.totalBytes, ended[stream]?.truncated], [MIB, true]);
      assert.equal(ended[stream]?.kept.length, 1 << 16);
      const { artifacts } = await laboratory.verified(ended.receiptId);
      assert.deepEqual([artifacts[`${stream}_bytes`], artifacts[`${stream}_complete`]], [MIB, false]);
    });
  }

  it('a line of 1 GB is an output_limit', async () => {
    const ended = await laboratory.shell('head -c 1G /dev/zero | tr "\\0" x');
    assertStatus(ended, 'output_limit');
    assert.equal(ended.stdout?.totalBytes, MIB);
  });
}

function describeWithoutIsolation(laboratory: Laboratory): void {
  it('a line of 64 MB without a limit is hashed whole and kept in part', async () => {
    const total = 64 * MIB;
    const ended = await laboratory.shell(`head -c ${total} /dev/zero | tr "\\0" x`, {
      capture: { keepBytes: 1 << 16, endAfterBytes: null },
    });
    assertStatus(ended, 'ok');
    assert.deepEqual([ended.stdout?.totalBytes, ended.stdout?.kept.length], [total, 1 << 16]);
  });

  it('a burst of 200 processes in sessions of their own is a timeout', async () => {
    const script = 'i=0; while [ $i -lt 200 ]; do (setsid sleep 1000 &); i=$((i+1)); done; sleep 1000';
    assertStatus(await laboratory.shell(script, { timeoutMs: SHORT_MS }), 'timeout');
  });
}

function describeInsideGuest(laboratory: Laboratory): void {
  it('a fork bomb is bounded, and a timeout', async () => {
    const code = 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass';
    const ended = await laboratory.python(code, { timeoutMs: 4_000 });
    assertStatus(ended, 'timeout');
  });

  for (const [what, code] of [
    ['heap', "x = []\nwhile True: x.append(b'x' * (1 << 20))"],
    ['/tmp', "f = open('/tmp/x', 'wb')\nwhile True: f.write(b'x' * (1 << 20))"],
    ['/dev/shm', "f = open('/dev/shm/x', 'wb')\nwhile True: f.write(b'x' * (1 << 20))"],
  ] as const) {
    it(`a memory bomb on the ${what} is an oom`, async () => {
      assertStatus(await laboratory.python(code), 'oom');
    });
  }

  it('a full disk is the error of the program that filled it', async () => {
    const ended = await laboratory.shell(
      'head -c 1G /dev/zero > big || echo full; rm big; echo again > small',
    );
    assertStatus(ended, 'ok');
    assert.equal(textOf(ended), 'full\n');
    assert.deepEqual(
      ended.files.map((file) => Buffer.from(file.path).toString()),
      ['small'],
    );
  });

  it('a disk without inodes is the error of the program that used them up', async () => {
    const code = [
      'import os, errno',
      'try:',
      "  for i in range(1 << 20): os.close(os.open(f'f{i}', os.O_CREAT | os.O_WRONLY))",
      'except OSError as error: print(error.errno == errno.ENOSPC)',
    ].join('\n');
    const ended = await laboratory.python(code, { limits: { ...LIMITS, diskMb: 4 } });
    assertStatus(ended, 'ok');
    assert.equal(textOf(ended), 'True\n');
    assert.ok(ended.files.length > 100, `${ended.files.length} files`);
  });

  for (const signal of ['KILL', 'STOP']) {
    it(`a program that sends SIG${signal} to everything harms only itself`, async () => {
      const script = `sleep 1000 & kill -${signal} -1; echo alive; kill -${signal} $$`;
      const ended = await laboratory.shell(script, { timeoutMs: SHORT_MS });
      assertStatus(ended, signal === 'KILL' ? 'error' : 'timeout');
      assert.equal(textOf(ended), 'alive\n');
    });
  }

  it('nothing of the machine obeys the program', async () => {
    const ended = await laboratory.python(PRIVILEGED_ATTEMPTS);
    assertStatus(ended, 'ok');
    const lines = textOf(ended).trim().split('\n');
    assert.ok(lines.length > 15, 'all attempts were made');
    assert.deepEqual(
      lines.filter((line) => !line.startsWith('refused ')),
      [],
    );
  });
}

/** Every line that it prints begins with `refused` as long as the guest holds. */
const PRIVILEGED_ATTEMPTS = `
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, action):
    try:
        result = action()
        print('DONE' if result is None or result >= 0 else 'refused', name)
    except OSError as error:
        print('refused', name)
def write(path):
    return lambda: os.write(os.open(path, os.O_WRONLY), b'b')
def call(number, *arguments):
    return lambda: libc.syscall(number, *arguments)
for magic in (0x01234567, 0x4321fedc, 0xcdef0123):
    attempt('reboot', call(169, 0xfee1dead, 672274793, magic, 0))
for path in ('/proc/sysrq-trigger', '/dev/mem', '/dev/kmem', '/dev/port', '/dev/vda', '/dev/vdb', '/dev/vport0p1',
             '/dev/console', '/dev/ttyS0', '/proc/1/mem', '/proc/sys/kernel/panic', '/proc/sys/user/max_user_namespaces',
             '/sys/power/state', '/etc/passwd', '/cgroup/cgroup.procs'):
    attempt('write ' + path, write(path))
attempt('mknod', lambda: os.mknod('/workspace/vda', 0o60666, os.makedev(254, 0)))
attempt('mknod', lambda: os.mknod('/tmp/mem', 0o20666, os.makedev(1, 1)))
attempt('mount', lambda: libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))
attempt('umount', lambda: libc.umount2(b'/workspace', 2))
attempt('chroot', lambda: os.chroot('/tmp'))
attempt('setuid', lambda: os.setuid(0))
attempt('kill 1', lambda: os.kill(1, 9))
attempt('ptrace 1', call(101, 16, 1, 0, 0))
attempt('user namespace', lambda: libc.unshare(0x10000000))
attempt('pid namespace', lambda: libc.unshare(0x20000000))
attempt('module', call(175, 0, 0, b''))
attempt('bpf', call(321, 0, 0, 0))
attempt('clock', lambda: libc.settimeofday(ctypes.create_string_buffer(16), None))
attempt('raw socket', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno())
attempt('packet socket', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).fileno())
attempt('iopl', call(172, 3))
attempt('read /proc/1/environ', lambda: len(open('/proc/1/environ', 'rb').read()))
`;
