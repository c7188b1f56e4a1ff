import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'node:test';

import { type Hold } from '../../../src/backends/backend.js';
import { GlasshouseError } from '../../../src/base/errors.js';
import { HOLD, withoutHold } from '../../profilers/built.js';
import {
  backend,
  isAlive,
  never,
  openDescriptors,
  run,
  ScratchDirectory,
  shell,
  specFor,
} from './support.js';

const RUN_COMMAND = fileURLToPath(new URL('../../fixtures/process/run-command.js', import.meta.url));
const ready: Hold['ready'] = () => Promise.resolve();
const hold: Hold = { program: HOLD, ready };

/** All that a program can find out about how it was started. */
const SELF_PORTRAIT = `
import os, signal, sys
print(sys.argv, sorted(os.environ), os.getcwd(), os.getpid() == os.getsid(0), os.getpid() == os.getpgid(0))
print([(int(n), os.readlink('/proc/self/fd/' + n).split(':')[0]) for n in sorted(os.listdir('/proc/self/fd')) if os.path.exists('/proc/self/fd/' + n)])
status = open('/proc/self/status').read().splitlines()
print([line for line in status if line.startswith(('SigPnd', 'SigBlk', 'SigIgn', 'SigCgt', 'Cap', 'NoNewPrivs', 'Seccomp:', 'Umask', 'Groups', 'Uid'))])
print(open('/proc/self/comm').read(), open('/proc/self/limits').read(), os.nice(0), signal.getitimer(signal.ITIMER_REAL))
print(open('/proc/self/coredump_filter').read(), open('/proc/self/oom_score_adj').read())
`;

describe('a command that was held', { skip: withoutHold }, () => {
  it('finds everything as if it had not been', async () => {
    const argv = ['python3', '-c', SELF_PORTRAIT, 'an argument', ''] as const;
    const plain = await run(argv);
    const held = await run(argv, { hold });
    assert.equal(plain.stderr, '');
    assert.equal(held.stdout, plain.stdout);
  });

  it('inherits what whoever started us left open, under the same numbers', () => {
    const list = 'ls -l /proc/self/fd | sed "s/.* \\([0-9]* -> \\)/\\1/; s/:.*//; /proc/d"';
    // Node.js marks lower ones close-on-exec when it starts.
    const inherited =
      'import os, sys; os.dup2(os.open("/dev/zero", 0), 25); os.execv(sys.argv[1], sys.argv[1:])';
    const listed = (environment: NodeJS.ProcessEnv): string =>
      execFileSync('python3', ['-c', inherited, process.execPath, RUN_COMMAND, '/bin/sh', '-c', list], {
        encoding: 'utf8',
        env: { ...process.env, ...environment },
      });
    const plain = listed({});
    assert.match(plain, /25 -> \/dev\/zero/);
    assert.equal(listed({ HOLD }), plain);
  });

  it('ends as it would have', async () => {
    const exits = await shell('exit 42', { hold });
    assert.deepEqual(exits.result.termination, { kind: 'exited', exitCode: 42 });
    const killed = await shell('kill -TERM $$', { hold });
    assert.deepEqual(killed.result.termination, { kind: 'signaled', signal: 'SIGTERM' });
  });

  it('does not run before it may', async () => {
    using scratch = new ScratchDirectory();
    const file = join(scratch.path, 'ran');
    const seen: boolean[] = [];
    const gate: Hold = {
      program: HOLD,
      ready: (pid) => {
        seen.push(isAlive(pid));
        return Promise.reject(new GlasshouseError('observation_unavailable', 'no'));
      },
    };
    const spec = specFor(['/usr/bin/touch', file], { hold: gate });
    const before = openDescriptors();
    await assert.rejects(backend.start(spec, never), { code: 'observation_unavailable' });
    assert.deepEqual(seen, [true]);
    assert.throws(() => openSync(file, 'r'), { code: 'ENOENT' });
    assert.equal(openDescriptors(), before);
  });

  it('is the very process that was held', async () => {
    let pid = 0;
    const remember: Hold['ready'] = (held) => {
      pid = held;
      return Promise.resolve();
    };
    const { stdout } = await shell('echo $$', { hold: { program: HOLD, ready: remember } });
    assert.equal(Number(stdout), pid);
  });

  it('may end while it is held', async () => {
    const kill: Hold['ready'] = (pid) => {
      process.kill(pid, 'SIGKILL');
      return Promise.resolve();
    };
    const { result } = await shell('exit 0', { hold: { program: HOLD, ready: kill } });
    assert.deepEqual(result.termination, { kind: 'signaled', signal: 'SIGKILL' });
  });

  it('is refused with the same words when it cannot be executed', async () => {
    using scratch = new ScratchDirectory();
    const script = join(scratch.path, 'script');
    writeFileSync(script, '#!/no/such/interpreter\n', { mode: 0o755 });
    const refusal = async (changes: { hold?: Hold }): Promise<string> => {
      try {
        await run([script], changes);
        return 'it ran';
      } catch (error) {
        assert.ok(error instanceof GlasshouseError);
        return `${error.code}: ${error.message}`;
      }
    };
    assert.equal(await refusal({ hold }), await refusal({}));
    assert.match(await refusal({ hold }), /interpreter/);
  });

  it('may have lost its directory', async () => {
    using scratch = new ScratchDirectory();
    const directory = join(scratch.path, 'gone');
    mkdirSync(directory);
    const { stdout } = await shell(`cd ${directory} && rmdir ${directory} && echo still here`, { hold });
    assert.equal(stdout, 'still here\n');
    rmSync(directory, { recursive: true, force: true });
  });
});

describe('a hold program that is not one', () => {
  it('keeps the command from running, and says that it is about observation', async () => {
    using scratch = new ScratchDirectory();
    const program = join(scratch.path, 'missing');
    await assert.rejects(backend.start(specFor(['/bin/true'], { hold: { program, ready } }), never), {
      code: 'observation_unavailable',
    });
  });
});
