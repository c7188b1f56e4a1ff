import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { listPids, readProcess } from '../../src/base/process-table.js';
import { type HostObservation } from '../../src/receipts/observed.js';
import { type Predicate } from '../../src/receipts/receipt.js';
import { type Ended, ended, Installation, MAIN, predicateOf } from '../cli/command-line.js';
import { withoutObservation } from './observation.js';

const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;

function hostObservation({ observation }: Predicate): HostObservation {
  assert.ok(observation.level === 'host', observation.reason ?? '');
  return observation;
}

/** Which of two processes opened a file first is chance; so is the order in a receipt. */
function inOrder({ filesystem }: Predicate): unknown {
  const lists = Object.entries(filesystem ?? {}).filter(([, list]) => Array.isArray(list));
  return lists.map(([name, list]) => [name, (list as unknown[]).map((one) => JSON.stringify(one)).sort()]);
}

/** The observer that this command line started, once the command has said that it runs. */
async function observerOf(child: ChildProcess): Promise<number> {
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  const pid = listPids().find(
    (one) => readProcess(one)?.parentPid === child.pid && commandName(one) === 'observer',
  );
  assert.ok(pid !== undefined, 'there is no observer');
  return pid;
}

function commandName(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return ''; // It has just ended.
  }
}

/** Says that it runs, does something, waits for its stdin to end, does more. */
const TWO_PARTS = 'cat /etc/hostname; : > first; read -r _; : > second; exit 7';

describe('a command whose observer fails', { skip: withoutObservation }, () => {
  for (const [signal, reason] of [
    ['SIGKILL', /SIGKILL/],
    ['SIGSTOP', /did not answer/],
  ] as const) {
    it(`is unharmed when it gets ${signal} in mid-run, and the receipt says from when on it was blind`, async () => {
      using installation = new Installation();
      const child = installation.start(['run', '--follow', '--', 'sh', '-c', TWO_PARTS]);
      const end = ended(child);
      // What the observer has not passed on is lost with it.
      const somethingWasSeen = once(child.stderr ?? child, 'data');
      const observer = await observerOf(child);
      await somethingWasSeen;
      process.kill(observer, signal);
      child.stdin?.end('go on\n');
      const { code, stderr } = await end;
      assert.equal(code, 7);
      assert.match(stderr, /^glasshouse: not observed: .*\n$/m);
      const predicate = predicateOf(installation.receiptFile);
      const observation = hostObservation(predicate);
      assert.match(observation.reason ?? '', reason);
      assert.ok(observation.blind_from_us !== null && !observation.complete);
      assert.ok(predicate.process_tree.length > 0);
      assert.equal(await installation.ok(['verify', installation.receiptFile]).then(() => 'valid'), 'valid');
    });
  }

  it('is unharmed when nobody follows it and its observer is killed, and the receipt says so', async () => {
    using installation = new Installation();
    const child = installation.start(['run', '--profile', 'host', '--', 'sh', '-c', TWO_PARTS]);
    const end = ended(child);
    process.kill(await observerOf(child), 'SIGKILL');
    child.stdin?.end('go on\n');
    assert.equal((await end).code, 7);
    const observation = hostObservation(predicateOf(installation.receiptFile));
    assert.match(observation.reason ?? '', /SIGKILL/);
    assert.ok(observation.blind_from_us !== null && !observation.complete);
  });

  it('is unharmed by a ring buffer that is too small: what was lost is counted, and totals are right', async () => {
    using installation = new Installation();
    const many =
      'import os\nfor n in range(2000):\n    open(f"f{n}", "w").close()\nfor n in range(50):\n    os.spawnv(0, "/bin/true", ["true"])\nprint(flush=True); input()';
    const script = 'echo; read -r _; exec /usr/bin/python3 -I -c "$1"';
    const options = ['--profile', 'host', '--observer-ring-bytes', '4096'];
    const child = installation.start(['run', ...options, '--', 'sh', '-c', script, 'sh', many]);
    const end = ended(child);
    const observer = await observerOf(child);
    // Nothing is taken out of the ring buffer until all has been put in.
    process.kill(observer, 'SIGSTOP');
    const isDone = once(child.stdout ?? child, 'data');
    child.stdin?.write('go on\n');
    await isDone;
    process.kill(observer, 'SIGCONT');
    child.stdin?.end('end\n');
    assert.equal((await end).code, 0);
    const observation = hostObservation(predicateOf(installation.receiptFile));
    assert.ok(Object.keys(observation.dropped).some((name) => name.startsWith('lost_')));
    assert.equal(observation.complete, false);
    assert.equal(observation.totals?.processes, 51);
  });
});

/** Hides the kernel's types, in a mount namespace of its own. The command line is "$@". */
const WITHOUT_BTF = `exec unshare --mount sh -c 'mount -t tmpfs none /sys/kernel/btf && exec "$@"' sh "$@"`;
/**
 * Says what a kernel in confidentiality mode says, and refuses to load programs as it would: the mode itself can be
 * left by a reboot only.
 */
const LOCKED_DOWN = `exec unshare --mount python3 -I -c '
import ctypes, os, struct, subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "none", "/sys/kernel/security"], check=True)
open("/sys/kernel/security/lockdown", "w").write("none integrity [confidentiality]\\n")
BPF, PROG_LOAD, EPERM, ALLOW = 321, 5, 0x50001, 0x7fff0000
code = ((0x20, 0, 0, 0), (0x15, 0, 3, BPF), (0x20, 0, 0, 16), (0x15, 0, 1, PROG_LOAD), (6, 0, 0, EPERM), (6, 0, 0, ALLOW))
steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(steps))
if ctypes.CDLL(None).prctl(22, 2, program) != 0: sys.exit("seccomp")
os.execvp(sys.argv[1], sys.argv[1:])
' "$@"`;

describe('a command that cannot be observed', () => {
  const argv = ['sh', '-c', 'echo runs; exit 3'];

  it('runs when there is no observer, and one line says why', async () => {
    using installation = new Installation();
    const options = ['--profile', 'host', '--observer-dir', installation.directory];
    const { code, stdout, stderr } = await installation.call(['run', ...options, '--', ...argv]);
    assert.deepEqual([code, stdout], [3, 'runs\n']);
    assert.match(stderr, /^glasshouse: not observed: .*is not there.*\n$/);
    const { observation, filesystem } = predicateOf(installation.receiptFile);
    assert.equal(observation.level, 'none');
    assert.match(observation.reason, /is not there/);
    assert.equal(filesystem, null);
  });

  it('does not run when it is required to be observed', async () => {
    using installation = new Installation();
    const options = ['--profile', 'required', '--observer-dir', installation.directory];
    const { code, stdout, stderr } = await installation.call(['run', ...options, '--', ...argv]);
    assert.deepEqual([code, stdout], [125, '']);
    assert.match(stderr, /^glasshouse: .*is not there.*\n$/);
    const { outcome } = predicateOf(installation.receiptFile);
    assert.deepEqual([outcome.status, outcome.error?.code], ['infra_error', 'observation_unavailable']);
  });

  for (const [name, script, reason] of [
    ['whose kernel does not describe its types', WITHOUT_BTF, /does not describe its types/],
    ['whose kernel is locked down', LOCKED_DOWN, /lockdown/],
  ] as const) {
    it(
      `because of a machine ${name} runs all the same`,
      { skip: isRoot ? false : 'needs root' },
      async () => {
        using installation = new Installation();
        const call = (profile: string): Promise<Ended> =>
          installation.throughShell(script, ['run', '--profile', profile, '--', ...argv]);
        const { code, stdout, stderr } = await call('host');
        assert.deepEqual([code, stdout], [3, 'runs\n']);
        assert.match(stderr, /^glasshouse: not observed: .*\n$/);
        assert.match(stderr, reason);
        const { observation } = predicateOf(installation.receiptFile);
        assert.equal(observation.level, 'none');
        assert.match(observation.reason, reason);
        const refused = await call('required');
        assert.deepEqual([refused.code, refused.stdout], [125, '']);
      },
    );
  }

  const skip = withoutObservation || (isRoot ? false : 'needs root, to give up its rights');
  const withoutRights = (profile: string, installation: Installation): ReturnType<typeof spawnSync> =>
    spawnSync(
      'setpriv',
      [
        '--bounding-set',
        '-all',
        '--inh-caps',
        '-all',
        process.execPath,
        MAIN,
        'run',
        '--profile',
        profile,
        '--',
        ...argv,
      ],
      {
        cwd: installation.directory,
        env: { ...process.env, GLASSHOUSE_DATA_DIR: installation.dataDirectory },
      },
    );

  it('for want of capabilities runs all the same', { skip }, () => {
    using installation = new Installation();
    const { status, stderr } = withoutRights('host', installation);
    assert.equal(status, 3);
    assert.match(String(stderr), /CAP_BPF/);
    assert.match(predicateOf(installation.receiptFile).observation.reason ?? '', /CAP_BPF/);
  });

  it('for want of capabilities does not run when it is required', { skip }, () => {
    using installation = new Installation();
    const { status, stdout } = withoutRights('required', installation);
    assert.deepEqual([status, String(stdout)], [125, '']);
  });
});

describe('an observed command', { skip: withoutObservation }, () => {
  it('that does not exist ends as it would have', async () => {
    using installation = new Installation();
    const { code } = await installation.call(['run', '--profile', 'required', '--', '/no/such/command']);
    assert.equal(code, 127);
    const { observation } = predicateOf(installation.receiptFile);
    assert.deepEqual([observation.level, observation.reason], ['none', 'the command was never started']);
  });

  it('keeps its exit code when its receipt cannot be written', async () => {
    using installation = new Installation();
    const options = ['--profile', 'required', '--receipt', '/proc/no/such/receipt.json'];
    const { code, stderr } = await installation.call(['run', ...options, '--', 'sh', '-c', 'exit 5']);
    assert.equal(code, 5);
    assert.match(stderr, /could not be written/);
    assert.equal((await installation.latest()).observation.level, 'host');
  });

  it('is seen the same whether its events are added up or shown one by one', async () => {
    using installation = new Installation();
    const script =
      'for n in 1 2 3 4 5 6 7 8; do cat /etc/passwd ../../etc/no ./no x/../no > out; : >> out; cat < out; done; rm out';
    const see = async (...options: string[]): Promise<Predicate> => {
      await installation.ok([
        'run',
        '--profile',
        'required',
        ...options,
        '--',
        'sh',
        '-c',
        `${script}; exit 0`,
      ]);
      return predicateOf(installation.receiptFile);
    };
    const [addedUp, oneByOne] = [await see(), await see('--events', 'events')];
    assert.deepEqual(inOrder(addedUp), inOrder(oneByOne));
    assert.deepEqual([hostObservation(addedUp).complete, hostObservation(oneByOne).complete], [true, true]);
  });

  it('does not see another one that runs at the same time', async () => {
    using installation = new Installation();
    const observe = (name: string): Promise<unknown> =>
      installation.ok([
        'run',
        '--profile',
        'required',
        '--receipt',
        `${name}.json`,
        '--',
        'sh',
        '-c',
        `for n in 1 2 3 4 5 6 7 8 9; do : > ${name}-$n; sleep 0.05; done`,
      ]);
    await Promise.all([observe('one'), observe('other')]);
    const paths = (name: string): string =>
      JSON.stringify(predicateOf(join(installation.directory, `${name}.json`)).filesystem);
    assert.match(paths('one'), /one-9/);
    assert.match(paths('other'), /other-9/);
    assert.doesNotMatch(paths('one'), /other-/);
    assert.doesNotMatch(paths('other'), /one-/);
  });

  it(
    'is followed through a set-user-ID program',
    { skip: isRoot ? false : 'needs root, to make one' },
    async () => {
      using installation = new Installation();
      const program = join(installation.directory, 'privileged');
      copyFileSync('/bin/true', program);
      chmodSync(program, 0o4755);
      chmodSync(installation.directory, 0o755);
      const argv = ['setpriv', `--reuid=${NOBODY}`, '--clear-groups', program];
      await installation.ok(['run', '--profile', 'required', '--', ...argv]);
      const image = predicateOf(installation.receiptFile).process_tree[0]?.images.at(-1);
      assert.deepEqual([image?.uid, image?.euid, image?.privileged], [NOBODY, 0, true]);
    },
  );

  it('goes on in a directory that it has removed', async () => {
    using installation = new Installation();
    const script = 'mkdir gone && cd gone && rmdir ../gone && /bin/true && exit 6';
    const { code } = await installation.call(['run', '--profile', 'required', '--', 'sh', '-c', script]);
    assert.equal(code, 6);
    const predicate = predicateOf(installation.receiptFile);
    const cwd = predicate.process_tree.at(-1)?.images[0]?.cwd;
    assert.ok(typeof cwd === 'string' && cwd.endsWith('/gone'), JSON.stringify(cwd));
    assert.equal(hostObservation(predicate).complete, true);
  });

  it('has all of ten thousand processes', async () => {
    using installation = new Installation();
    const forks =
      'import os\nfor n in range(10000):\n    pid = os.fork()\n    if pid == 0: os._exit(0)\n    os.waitpid(pid, 0)';
    await installation.ok(['run', '--profile', 'required', '--', '/usr/bin/python3', '-I', '-c', forks]);
    const predicate = predicateOf(installation.receiptFile);
    assert.deepEqual(
      [predicate.process_tree.length, hostObservation(predicate).totals?.processes],
      [10_001, 10_001],
    );
    assert.equal(hostObservation(predicate).complete, true);
  });

  it('has its arguments, whole', async () => {
    using installation = new Installation();
    const argv = ['/bin/true', 'x'.repeat(32_768), '', 'ä', '\u001b[2J'];
    await installation.ok(['run', '--profile', 'required', '--', ...argv]);
    const [first] = predicateOf(installation.receiptFile).process_tree;
    assert.deepEqual([first?.images[0]?.argv, first?.images[0]?.argv_complete], [argv, true]);
  });

  it('is shown live, one line an event, safe for a terminal', async () => {
    using installation = new Installation();
    const options = ['--follow', '--events', 'events.jsonl'];
    const { stderr } = await installation.call(['run', ...options, '--', '/bin/true', '\u001b[2J']);
    assert.match(stderr, /exec \/usr\/bin\/true/);
    assert.ok(!stderr.includes('\u001b'));
    const lines = readFileSync(join(installation.directory, 'events.jsonl'), 'utf8').trimEnd().split('\n');
    const events = lines.map((line) => JSON.parse(line) as { event: string });
    assert.equal(hostObservation(predicateOf(installation.receiptFile)).events, events.length);
    const json = await installation.call(['run', '--follow', '--json', '--', '/bin/true']);
    for (const line of json.stderr.trimEnd().split('\n')) assert.ok('event' in (JSON.parse(line) as object));
  });
});

describe(
  'runs in a row',
  { skip: withoutObservation || (existsSync('/usr/sbin/bpftool') ? false : 'bpftool is not installed') },
  () => {
    it('leave no program, map or link loaded', async () => {
      using installation = new Installation();
      const seen = new Set<string>();
      for (let run = 0; run < 10; run += 1) {
        const child = installation.start([
          'run',
          '--profile',
          'required',
          '--',
          'sh',
          '-c',
          'echo; read -r _; exit 0',
        ]);
        const end = ended(child);
        for (const object of objectsOf(await observerOf(child))) seen.add(object);
        child.stdin?.end();
        assert.equal((await end).code, 0);
      }
      assert.ok(seen.size > 10);
      assert.deepEqual(
        [...seen].filter((object) => isLoaded(object)),
        [],
      );
    });
  },
);

/** `prog 12`, `map 3`, `link 4`: what a process keeps loaded (proc_pid_fdinfo(5)). */
function objectsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fdinfo`).flatMap((descriptor) => {
    const text = readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8');
    const link = /^link_id:\s*(\d+)$/m.exec(text)?.[1];
    if (link !== undefined) return [`link ${link}`];
    return [...text.matchAll(/^(prog|map)_id:\s*(\d+)$/gm)].map(
      ([, kind, id]) => `${kind ?? ''} ${id ?? ''}`,
    );
  });
}

function isLoaded(object: string): boolean {
  const [kind = '', id = ''] = object.split(' ');
  return spawnSync('/usr/sbin/bpftool', [kind, 'show', 'id', id]).status === 0;
}
