import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import { type ExecutionSpec } from '../../../src/backends/backend.js';
import { type VmBackend } from '../../../src/backends/vm/vm-backend.js';
import {
  childProcesses,
  LIMITS,
  makeQemuBackend,
  type Ran,
  reasonToSkip,
  ScratchDirectory,
} from '../../contract/subject.js';
import { poolReady, runPython, untilPoolHas } from './clones.js';

/** Clones that draw what must never be drawn twice. */
const DRAWING_CLONES = 200;
const AT_ONCE = 2;

const scratch = new ScratchDirectory();
const snapshotDirectory = scratch.make('snapshots');
const restoring = makeQemuBackend(scratch, { poolSize: 0, snapshotDirectory });
const skip = await reasonToSkip(restoring);
const pooling = makeQemuBackend(scratch, { poolSize: 2, snapshotDirectory });
if (skip === null) await pooling.prepare(new AbortController().signal);

after(async () => {
  await restoring.close();
  await pooling.close();
  scratch[Symbol.dispose]();
});

const DRAW = `
import json, os, random, secrets, tempfile, time, uuid
print(json.dumps({
    'urandom': os.urandom(16).hex(), 'random': random.random(), 'uuid4': str(uuid.uuid4()),
    'secrets': secrets.token_hex(), 'mktemp': next(tempfile._get_candidate_names()),
    'boot_id': open('/proc/sys/kernel/random/boot_id').read().strip(), 'getrandom': os.getrandom(8).hex(),
    'time': time.time() * 1000,
}))
`;

describe('no two clones', { skip: skip ?? false }, () => {
  it('draw the same, and each knows what time it is', async () => {
    const drawn = new Map<string, string[]>();
    let begun = 0;
    const drawOnAndOn = async (): Promise<void> => {
      while (begun < DRAWING_CLONES) {
        begun += 1;
        // Where one waits it is taken: half of those that draw are copies of one process.
        const backend = begun % 2 === 0 && poolReady(pooling) > 0 ? pooling : restoring;
        const before = Date.now();
        const { handle, stdout } = await runPython(backend, DRAW);
        const now = Date.now();
        assert.notEqual(handle.origin.start, 'cold');
        const { time, ...rest } = JSON.parse(stdout.toString()) as Record<string, string | number>;
        assert.ok(
          Number(time) > before - 100 && Number(time) < now + 100,
          `${time} is not in ${before} to ${now}`,
        );
        for (const [name, value] of Object.entries(rest))
          drawn.set(name, [...(drawn.get(name) ?? []), String(value)]);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, drawOnAndOn));
    assert.equal(drawn.size, 7);
    for (const [name, values] of drawn) {
      assert.ok(values.length >= DRAWING_CLONES);
      assert.equal(new Set(values).size, values.length, `${name} was drawn twice`);
    }
  });

  it('serve the same caller: nothing of one run is there in another', async () => {
    const leave = `
import os, subprocess
for path in ('/workspace/left', '/tmp/left', '/dev/shm/left'): open(path, 'w').write('secret')
os.environ['LEFT'] = 'secret'
subprocess.Popen(['sleep', '1000'], start_new_session=True)
`;
    const look = `
import glob, os
print(sorted(glob.glob('/workspace/*') + glob.glob('/tmp/*') + glob.glob('/dev/shm/*')), 'LEFT' in os.environ)
print([open(f'/proc/{pid}/comm').read().strip() for pid in os.listdir('/proc') if pid.isdigit()].count('sleep'))
`;
    for (const backend of [restoring, pooling]) {
      for (let round = 0; round < 3; round += 1) {
        if (backend === pooling) await untilPoolHas(pooling, 1);
        await runPython(backend, leave);
        if (backend === pooling) await untilPoolHas(pooling, 1);
        const { handle, stdout } = await runPython(backend, look);
        assert.notEqual(handle.origin.start, 'cold');
        assert.equal(stdout.toString(), "['/workspace/code.py'] False\n0\n");
      }
    }
  });
});

describe('a pool of clones of a real machine', { skip: skip ?? false }, () => {
  it('serves from what waits, and fills up again', async () => {
    await untilPoolHas(pooling, 2);
    const { handle } = await runPython(pooling, 'print(2+2)');
    assert.equal(handle.origin.start, 'pooled');
    await untilPoolHas(pooling, 2);
  });

  it('passes over a clone that was killed while it waited', async () => {
    await untilPoolHas(pooling, 2);
    for (const pid of childProcesses()) process.kill(pid, 'SIGKILL');
    const { result, stdout } = await runPython(pooling, 'print(2+2)');
    assert.deepEqual([result.termination, stdout.toString()], [{ kind: 'exited', exitCode: 0 }, '4\n']);
    await untilPoolHas(pooling, 2);
  });

  it('is told which snapshot it is of', async () => {
    await untilPoolHas(pooling, 1);
    const pooled = await runPython(pooling, '');
    const restored = await runPython(restoring, '');
    assert.deepEqual([pooled.handle.origin.start, restored.handle.origin.start], ['pooled', 'restored']);
    assert.match(pooled.handle.origin.snapshot?.sha256 ?? '', /^[0-9a-f]{64}$/);
    assert.deepEqual(pooled.handle.origin.snapshot, restored.handle.origin.snapshot);
  });

  it('leaves its clones where they are when a run shall boot', async () => {
    await untilPoolHas(pooling, 2);
    const { handle, stdout } = await runPython(pooling, 'print(2+2)', { fresh: true });
    assert.deepEqual([handle.origin, stdout.toString()], [{ start: 'cold', snapshot: null }, '4\n']);
    assert.equal(poolReady(pooling), 2);
  });
});

describe('a request that is not like the others', { skip: skip ?? false }, () => {
  it('gets an interpreter of its own when a variable says how Python starts', async () => {
    const code = "import sys; print(sys.flags.hash_randomization, hash('x'), sys.flags.utf8_mode)";
    const changes = { environment: { PYTHONHASHSEED: '0', PYTHONUTF8: '1' } };
    const one = await runPython(restoring, code, changes);
    const other = await runPython(pooling, code, changes);
    assert.notEqual(one.handle.origin.start, 'cold');
    assert.match(one.stdout.toString(), /^0 -?\d+ 1\n$/);
    assert.deepEqual(other.stdout, one.stdout);
  });

  it('runs a command in a clone as well', async () => {
    const program = { kind: 'command', argv: ['sh', '-c', 'echo $0 "$@"; exit 3', 'a', 'b c'] } as const;
    const { handle, result, stdout } = await runPython(restoring, '', { program });
    assert.notEqual(handle.origin.start, 'cold');
    assert.deepEqual([result.termination, stdout.toString()], [{ kind: 'exited', exitCode: 3 }, 'a b c\n']);
  });

  it('boots for other limits, and soon is cloned for them too', async () => {
    const limits = { ...LIMITS, memoryMb: 200, cpus: 2, diskMb: 8 };
    const code =
      "import os; s = os.statvfs('/workspace'); print(os.cpu_count(), s.f_blocks * s.f_frsize >> 20 < 9)";
    const first = await untilCloned(pooling, { limits }, code);
    assert.equal(first.stdout.toString(), '2 True\n');
    const bomb = await runPython(pooling, "x = [b'x' * (1 << 20) for _ in range(220)]", { limits });
    assert.equal(bomb.handle.origin.start, 'restored');
    assert.deepEqual(bomb.result.termination, { kind: 'out_of_memory' });
    const fits = await runPython(pooling, "x = [b'x' * (1 << 20) for _ in range(150)]", { limits });
    assert.deepEqual(fits.result.termination, { kind: 'exited', exitCode: 0 });
  });

  it('is held to smaller limits than those of the snapshot', async () => {
    const limits = { ...LIMITS, memoryMb: 64, pids: 8 };
    const bomb = await runPython(restoring, "x = [b'x' * (1 << 20) for _ in range(100)]", { limits });
    assert.equal(bomb.handle.origin.start, 'restored');
    assert.deepEqual(bomb.result.termination, { kind: 'out_of_memory' });
    const code = `
import os, time
try:
    for n in range(100):
        if os.fork() == 0: time.sleep(100)
except OSError: print(n + 1)
`;
    const forks = await runPython(restoring, code, { limits });
    assert.equal(forks.stdout.toString(), '8\n');
  });
});

/** Runs until an execution is cloned and not booted; whether it is depends on what is made in the background. */
async function untilCloned(backend: VmBackend, changes: Partial<ExecutionSpec>, code: string): Promise<Ran> {
  for (;;) {
    const ran = await runPython(backend, code, changes);
    if (ran.handle.origin.start !== 'cold') return ran;
  }
}
