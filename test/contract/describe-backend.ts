import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type ExecutionBackend, type OutputStream } from '../../src/backends/backend.js';
import { asGlasshouseError, GlasshouseError } from '../../src/base/errors.js';
import {
  type Candidate,
  childProcesses,
  CollectingSink,
  commandSpec,
  heldBufferBytes,
  LIMITS,
  markedProcesses,
  never,
  PATH,
  reasonToSkip,
  runOn,
  ScratchDirectory,
  sha256,
} from './subject.js';
import { shell, streamOf, withResolvers } from './programs.js';
import { describeControl, describeLeftovers } from './describe-control.js';

const MIB = 1024 * 1024;
/** Guests boot on one processor each; more at once than this only slows them down. */
const AT_ONCE = 2;

/** What every backend promises in src/backends/backend.ts. */
export async function describeBackend(candidate: Candidate): Promise<void> {
  const scratch = new ScratchDirectory();
  const backend = candidate.create(scratch);
  const skip = await reasonToSkip(backend);
  describe(`the ${candidate.name} backend`, { skip: skip ?? false }, () => {
    after(() => {
      scratch[Symbol.dispose]();
    });
    describeLeftovers(backend, scratch);
    describe('as several run at once', { concurrency: AT_ONCE }, () => {
      describeItself(backend);
      describeEnds(backend);
      describeStreams(backend);
      describeStdin(backend);
      describeRequests(backend);
      describeControl(backend);
    });
    describe('in the end', () => {
      it('slows a program down to the pace of the sink, and holds little of its output', () =>
        slowsDown(backend));

      it('still brings guests up as it did in the beginning', async () => {
        const { handle } = await shell(backend, 'true');
        assert.equal(handle.origin.start, candidate.start);
      });

      it('keeps nothing after close()', async () => {
        await backend.close();
        await backend.close();
        assert.deepEqual(childProcesses(), []);
      });
    });
  });
}

function describeItself(backend: ExecutionBackend): void {
  it('says what an execution takes of the machine: all that it may use, and what isolation costs', () => {
    const footprint = backend.footprint(LIMITS);
    const more = backend.footprint({ ...LIMITS, memoryMb: LIMITS.memoryMb + 100, cpus: LIMITS.cpus + 1 });
    const enforced = backend.describe().enforcesLimits;
    assert.equal(footprint.memoryMb > LIMITS.memoryMb, enforced);
    assert.deepEqual(
      [more.memoryMb - footprint.memoryMb, more.cpus - footprint.cpus],
      enforced ? [100, 1] : [0, 0],
    );
  });

  it('reports numbers under names that metrics can have, the same every time', () => {
    const names = (): string[] => backend.gauges().map(({ name }) => name);
    assert.deepEqual(names(), [...new Set(names())]);
    for (const { name, help, value } of backend.gauges()) {
      assert.match(name, /^[a-z][a-z0-9_]*$/u);
      assert.ok(help !== '' && Number.isFinite(value), name);
    }
  });
}

function describeEnds(backend: ExecutionBackend): void {
  it('reports the exit code, when the program began, and how long it ran', async () => {
    const { handle, result } = await shell(backend, 'exit 255');
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 255 });
    assert.equal(result.outputFilesComplete, true);
    const stages = Object.values(handle.bootStages);
    assert.ok(stages.length > 0 && stages.every((stage) => stage >= 0));
    const sum = stages.reduce((total, stage) => total + stage, 0);
    assert.ok(Math.abs(sum - handle.bootMs) < 1, `stages add up to ${sum} of ${handle.bootMs}`);
    assert.ok(result.runMs >= 0);
  });

  it('reports the signal that ended the program', async () => {
    const { result } = await shell(backend, 'kill -SEGV $$');
    assert.deepEqual(result.termination, { kind: 'signaled', signal: 'SIGSEGV' });
  });

  it('refuses a command that does not exist', async () => {
    await assert.rejects(runOn(backend, ['no-such-command-of-glasshouse']), { code: 'command_not_found' });
  });

  it('refuses a command that cannot be executed', async () => {
    await assert.rejects(runOn(backend, ['/etc/passwd']), { code: 'command_not_executable' });
  });
}

function describeStreams(backend: ExecutionBackend): void {
  it('passes stdout and stderr on while the program runs', async () => {
    const sink = new CollectingSink();
    const script = 'echo one; echo two >&2; read line; echo "three $line"';
    const answer = withResolvers<Uint8Array>();
    const stdin = (async function* () {
      yield await answer.promise;
    })();
    const handle = await backend.start(commandSpec(['sh', '-c', script], { sink, stdin }), never);
    // The program cannot go on before it is answered, and it is answered only because both words arrived.
    await Promise.all([sink.saw('one\n', 'stdout'), sink.saw('two\n', 'stderr')]);
    answer.resolve(Buffer.from('answer\n'));
    const result = await backend.wait(handle);
    await backend.cleanup(handle);
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 0 });
    assert.equal(sink.text('stdout'), 'one\nthree answer\n');
    assert.equal(sink.text('stderr'), 'two\n');
  });

  it('keeps every byte of both streams', async () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    const program =
      'import sys; b=bytes(range(256)); sys.stdout.buffer.write(b*999); sys.stderr.buffer.write(b[::-1])';
    const { stdout, stderr } = await runOn(backend, ['python3', '-c', program]);
    assert.equal(stdout.length, 256 * 999);
    assert.equal(sha256(stdout), sha256(Buffer.concat(Array.from({ length: 999 }, () => all))));
    assert.deepEqual(stderr, Buffer.from(all).reverse());
  });

  it('goes on when nobody takes a stream any more', async () => {
    const stderr = new CollectingSink();
    const sink = {
      async write(stream: OutputStream, chunk: Uint8Array): Promise<void> {
        if (stream === 'stdout') throw new GlasshouseError('output_closed', 'gone');
        await stderr.write(stream, chunk);
      },
    };
    const { result } = await shell(
      backend,
      'trap "" PIPE; head -c 300000 /dev/zero 2>/dev/null; echo on >&2; exit 4',
      { sink },
    );
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 4 });
    assert.equal(stderr.text('stderr'), 'on\n');
  });

  it('ends the program when the sink fails', async () => {
    const sink = {
      write: () => Promise.reject(new GlasshouseError('disk_full', 'no room for output')),
    };
    const handle = await backend.start(commandSpec(['sh', '-c', 'echo; exec sleep 1000'], { sink }), never);
    await assert.rejects(backend.wait(handle), { code: 'disk_full' });
    await backend.cleanup(handle);
    assert.deepEqual(markedProcesses(handle.executionId), []);
  });

  for (const ending of ['kill', 'cleanup'] as const) {
    it(`is not held up by a stuck sink after ${ending}()`, async () => {
      const first = withResolvers<null>();
      const sink = {
        write: () => {
          first.resolve(null);
          return new Promise<void>(() => undefined);
        },
      };
      const handle = await backend.start(commandSpec(['sh', '-c', 'yes'], { sink }), never);
      await first.promise;
      if (ending === 'kill') {
        await backend.kill(handle);
        await backend.wait(handle);
      }
      await backend.cleanup(handle);
      assert.deepEqual(markedProcesses(handle.executionId), []);
    });
  }
}

async function slowsDown(backend: ExecutionBackend): Promise<void> {
  const total = 48 * MIB;
  const pending: Record<OutputStream, number> = { stdout: 0, stderr: 0 };
  let taken = 0;
  let worst = 0;
  let highest = 0;
  const before = heldBufferBytes();
  let writes = 0;
  const sink = {
    async write(stream: OutputStream, chunk: Uint8Array): Promise<void> {
      pending[stream] += 1;
      worst = Math.max(worst, pending[stream]);
      await new Promise((resolve) => setImmediate(resolve));
      taken += chunk.length;
      writes += 1;
      if (writes % 50 === 0) highest = Math.max(highest, heldBufferBytes());
      pending[stream] -= 1;
    },
  };
  await shell(backend, `head -c ${total} /dev/zero`, { sink });
  assert.equal(taken, total);
  assert.equal(worst, 1, 'the next chunk of a stream comes only after the one before was taken');
  assert.ok(highest > 0 && highest - before < total / 3, `grew by ${highest - before} bytes`);
}

function describeStdin(backend: ExecutionBackend): void {
  it('carries 10 MB of stdin, byte for byte', async () => {
    const chunk = Buffer.from(Array.from({ length: 100_003 }, (_, index) => (index * 7) % 256));
    const chunks = Array.from({ length: 105 }, () => chunk);
    const { stdout } = await runOn(backend, ['sha256sum'], { stdin: streamOf(chunks) });
    assert.equal(stdout.toString().slice(0, 64), sha256(Buffer.concat(chunks)));
  });

  it('takes no more of stdin than a program that never reads lets it', async () => {
    let offered = 0;
    const endless = (async function* () {
      for (;;) {
        offered += 65_536;
        yield await Promise.resolve(Buffer.alloc(65_536));
      }
    })();
    const { result } = await shell(backend, 'sleep 1; exit 3', { stdin: endless });
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 3 });
    assert.ok(offered < 4 * MIB, `${offered} bytes were taken`);
  });

  it('ends the program when the source of stdin fails', async () => {
    const broken = (async function* () {
      yield await Promise.resolve(Buffer.from('x'));
      throw new Error('the source broke');
    })();
    const handle = await backend.start(commandSpec(['sleep', '1000'], { stdin: broken }), never);
    const ended = await backend.wait(handle).then(
      ({ termination }) => (termination.kind === 'lost' ? termination.error : null),
      (error: unknown) => asGlasshouseError(error),
    );
    await backend.cleanup(handle);
    assert.match(ended?.message ?? '', /stdin|source broke/);
  });
}

function describeRequests(backend: ExecutionBackend): void {
  it('passes arguments on as they are', async () => {
    const values = [
      '',
      ' ',
      'a b',
      "it's",
      '"$HOME"',
      '*',
      'ünïcødé ☃ 🚀',
      '-n',
      'line\nbreak',
      'x'.repeat(32_768),
    ];
    const { stdout } = await shell(backend, 'for a; do printf "%s\\0" "$a"; done', {
      program: {
        kind: 'command',
        argv: ['sh', '-c', 'for a; do printf "%s\\0" "$a"; done', 'sh', ...values],
      },
    });
    assert.deepEqual(stdout.toString().split('\0').slice(0, -1), values);
  });

  it('gives the program the environment of the request and nothing of ours', async () => {
    process.env['GLASSHOUSE_TEST_SECRET'] = 'secret';
    try {
      const odd = { EMPTY: '', SPACES: ' a  b ', LINES: 'a\nb', SNOW: '☃', EQUALS: 'a=b=c' };
      const { stdout } = await runOn(backend, ['env', '-0'], { environment: { PATH, ...odd } });
      const seen = Object.fromEntries(
        stdout
          .toString()
          .split('\0')
          .slice(0, -1)
          .map((line): [string, string] => [
            line.slice(0, line.indexOf('=')),
            line.slice(line.indexOf('=') + 1),
          ]),
      );
      for (const [name, value] of Object.entries({ PATH, ...odd })) assert.equal(seen[name], value, name);
      const additions = Object.keys(seen).filter((name) => name !== 'PATH' && !Object.hasOwn(odd, name));
      const documented = ['HOME', 'LANG', 'USER', 'GLASSHOUSE_EXECUTION_ID'];
      assert.deepEqual(
        additions.filter((name) => !documented.includes(name)),
        [],
      );
    } finally {
      delete process.env['GLASSHOUSE_TEST_SECRET'];
    }
  });
}
