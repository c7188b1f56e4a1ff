import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants as fileConstants, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, it } from 'node:test';
import { type OutputSink } from '../../../src/backends/backend.js';
import { ProcessBackend } from '../../../src/backends/process/process-backend.js';
import { GlasshouseError } from '../../../src/base/errors.js';
import {
  CollectingSink,
  backend,
  never,
  processesOf,
  run,
  shell,
  specFor,
  bytesOf,
  IdleSource,
} from './support.js';

describe('how the program ends', () => {
  it('reports every exit code', async () => {
    for (const batch of Array.from({ length: 16 }, (_, row) => row * 16)) {
      const codes = Array.from({ length: 16 }, (_, column) => batch + column);
      const ends = await Promise.all(codes.map((code) => shell(`exit ${code}`)));
      assert.deepEqual(
        ends.map((end) => end.result.termination),
        codes.map((exitCode) => ({ kind: 'exited', exitCode })),
      );
    }
  });

  it('reports the signal that ended it', async () => {
    for (const signal of [
      'SIGHUP',
      'SIGINT',
      'SIGKILL',
      'SIGPIPE',
      'SIGALRM',
      'SIGTERM',
      'SIGUSR1',
    ] as const) {
      const { result } = await shell(`kill -${constants.signals[signal]} $$`);
      assert.deepEqual(result.termination, { kind: 'signaled', signal });
    }
  });

  it('claims no resource usage, because Node.js does not give it out', async () => {
    const { result } = await shell('exit 0');
    assert.equal(result.resources, null);
    assert.deepEqual(result.outputFiles, []);
    assert.ok(result.runMs > 0);
  });
});

describe('what the program sees', () => {
  it('gets exactly the given environment and the marker', async () => {
    const { stdout, handle } = await shell('tr "\\0" "\\n" < /proc/$$/environ', {
      environment: { B: 'two', A: 'one', EMPTY: '' },
    });
    assert.equal(stdout, `B=two\nA=one\nEMPTY=\nGLASSHOUSE_EXECUTION_ID=${handle.executionId}\n`);
  });

  it('runs in our current directory', async () => {
    assert.equal((await run(['/bin/pwd', '-P'])).stdout, `${process.cwd()}\n`);
  });

  it('has real pipes, which can be opened again', async () => {
    const { stdout, stderr } = await shell(
      'test -p /dev/stdout && test -p /dev/stderr && echo pipes; echo out > /dev/stdout; echo err > /dev/stderr',
    );
    assert.equal(stdout, 'pipes\nout\n');
    assert.equal(stderr, 'err\n');
  });

  it('has a real pipe as stdin', async () => {
    const { stdout } = await shell('test -p /dev/stdin && cat /dev/stdin', {
      stdin: bytesOf('some ', 'input'),
    });
    assert.equal(stdout, 'some input');
  });

  it('has blocking descriptors and no others', async () => {
    const script = 'ls /proc/self/fd | tr "\\n" " "; grep flags /proc/$$/fdinfo/[012]';
    const { stdout } = await shell(script, { stdin: bytesOf() });
    const bare = execFileSync('/bin/sh', ['-c', script], { encoding: 'utf8' });
    assert.equal(stdout.split('/proc')[0], bare.split('/proc')[0]);
    const flags = [...stdout.matchAll(/flags:\s*([0-7]+)/g)].map((match) =>
      Number.parseInt(match[1] ?? '', 8),
    );
    assert.equal(flags.length, 3);
    assert.ok(flags.every((value) => (value & fileConstants.O_NONBLOCK) === 0));
  });

  it('reads end of file from a closed stdin', async () => {
    assert.equal((await shell('wc -c')).stdout.trim(), '0');
  });

  it('leads a session of its own when it does not share our terminal', async () => {
    const { stdout } = await shell('cut -d " " -f 1,5,6 /proc/$$/stat');
    const [pid, group, session] = stdout.trim().split(' ');
    assert.equal(group, pid);
    assert.equal(session, pid);
  });
});

describe('output', () => {
  it('arrives byte for byte, also NUL and invalid UTF-8', async () => {
    const sink = new CollectingSink();
    const all = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
    const octal = [...all].map((value) => `\\${value.toString(8).padStart(3, '0')}`).join('');
    await run(['/usr/bin/printf', octal], { sink });
    assert.deepEqual(sink.bytes('stdout'), all);
  });

  it('keeps the order of two streams that are one', async () => {
    const { stdout, stderr } = await shell('for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done', {
      stderr: 'with_stdout',
    });
    assert.equal(stdout, [1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => `o${i}\ne${i}\n`).join(''));
    assert.equal(stderr, '');
  });

  it('passes a flood on in constant memory and complete', { timeout: 120_000 }, async () => {
    const hash = createHash('sha256');
    let bytes = 0;
    const sink: OutputSink = {
      write: (_, chunk) => {
        hash.update(chunk);
        bytes += chunk.length;
        return Promise.resolve();
      },
    };
    const size = 100_000_000;
    const before = process.memoryUsage.rss();
    await shell(`head -c ${size} /dev/zero`, { sink });
    const grown = process.memoryUsage.rss() - before;
    assert.equal(bytes, size);
    const expected = createHash('sha256');
    for (let i = 0; i < 100; i += 1) expected.update(Buffer.alloc(1_000_000));
    assert.equal(hash.digest('hex'), expected.digest('hex'));
    assert.ok(grown < 60_000_000, `memory grew by ${grown} bytes`);
  });

  it('passes a 64 MiB line on', { timeout: 120_000 }, async () => {
    let bytes = 0;
    let newlines = 0;
    const sink: OutputSink = {
      write: (_, chunk) => {
        bytes += chunk.length;
        if (chunk.includes(10)) newlines += 1;
        return Promise.resolve();
      },
    };
    await shell('head -c 67108864 /dev/zero | tr "\\0" x; echo', { sink });
    assert.equal(bytes, 67_108_865);
    assert.equal(newlines, 1);
  });

  it('does not read ahead of a slow sink', async () => {
    // The pipe holds 64 KiB, and one chunk of at most 64 KiB is under way: the program cannot get further.
    const sink = new BlockedSink();
    const handle = await backend.start(
      specFor(['/bin/sh', '-c', 'head -c 300000 /dev/zero; echo done >&2'], {
        sink: {
          write: (stream, chunk) => {
            if (stream === 'stderr') sink.finishedEarly = !sink.released;
            return stream === 'stdout' ? sink.take(chunk) : Promise.resolve();
          },
        },
      }),
      never,
    );
    await sink.blocked;
    assert.ok(sink.bytes <= 65_536);
    sink.release();
    await backend.wait(handle);
    await backend.cleanup(handle);
    assert.equal(sink.bytes, 300_000);
    assert.equal(sink.finishedEarly, false);
  });

  it('gives the program SIGPIPE when nobody takes its output any more', async () => {
    const sink: OutputSink = {
      write: () => Promise.reject(new GlasshouseError('output_closed', 'gone')),
    };
    const { result } = await run(['yes'], { sink });
    assert.deepEqual(result.termination, { kind: 'signaled', signal: 'SIGPIPE' });
  });

  it('goes on with the other stream then', async () => {
    let stderr = '';
    const sink: OutputSink = {
      write: (stream, chunk) => {
        if (stream === 'stdout') return Promise.reject(new GlasshouseError('output_closed', 'gone'));
        stderr += Buffer.from(chunk).toString();
        return Promise.resolve();
      },
    };
    const { result } = await shell('yes; echo after >&2; exit 4', { sink });
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 4 });
    assert.equal(stderr, 'after\n');
  });

  it('ends the execution when the sink fails otherwise', async () => {
    const failure = new GlasshouseError('disk_full', 'no room');
    const sink: OutputSink = { write: () => Promise.reject(failure) };
    const spec = specFor(['/bin/sh', '-c', 'echo x; exec sleep 1000'], { sink });
    const handle = await backend.start(spec, never);
    await assert.rejects(backend.wait(handle), failure);
    await backend.cleanup(handle);
    assert.deepEqual(processesOf(spec.executionId), []);
  });
});

describe('input', () => {
  it('is not read faster than the program takes it', async () => {
    let given = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        given += 65_536;
        yield await Promise.resolve(Buffer.alloc(65_536));
      }
    }
    const { stdout } = await shell('head -c 1000000 | wc -c', { stdin: endless() });
    assert.equal(stdout.trim(), '1000000');
    assert.ok(given < 2_000_000, `${given} bytes were taken from the source`);
  });

  it('is let go of when the program does not want it', async () => {
    const source = new IdleSource();
    const { result } = await shell('exec 0<&-; exit 5', { stdin: source });
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 5 });
    assert.equal(source.returned, true);
  });

  it('ends the execution when its source fails', async () => {
    const failure = new GlasshouseError('canceled', 'client went away');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(Buffer.from('x'));
      throw failure;
    }
    await assert.rejects(run(['cat'], { stdin: failing() }), failure);
  });
});

describe('the process backend itself', () => {
  it('says that it isolates nothing', async () => {
    const probe = await backend.probe();
    assert.equal(probe.verdict, 'works');
    assert.match(probe.detail, /without any isolation/);
    assert.equal(backend.describe().isolation, 'none');
  });

  it('refuses Python programs and input files', async () => {
    const refused = (error: unknown): boolean =>
      error instanceof GlasshouseError && error.code === 'unsupported_by_backend' && error.field !== null;
    const python = { kind: 'python', code: 'print(1)', args: [] } as const;
    await assert.rejects(backend.start(specFor(['true'], { program: python }), never), refused);
    const file = { path: 'x', content: Buffer.from('x'), executable: false };
    await assert.rejects(backend.start(specFor(['true'], { inputFiles: [file] }), never), refused);
  });

  it('takes only its own handles', async () => {
    const foreign = {
      executionId: 'x',
      bootMs: 0,
      bootStages: {},
      origin: { start: 'cold', snapshot: null } as const,
      programEnded: Promise.resolve(),
    };
    await assert.rejects(new ProcessBackend().kill(foreign), GlasshouseError);
  });

  it('measures the stages of the start', async () => {
    const { handle } = await shell('exit 0');
    assert.deepEqual(Object.keys(handle.bootStages), ['lookup', 'pipes', 'spawn']);
    const sum = Object.values(handle.bootStages).reduce((total, stage) => total + stage, 0);
    assert.ok(Math.abs(sum - handle.bootMs) < 0.001);
  });

  it('lets the program have our own descriptors', async () => {
    const { result } = await shell(`test "$(readlink /proc/$$/fd/1)" = "$OURS"`, {
      stdout: 'inherit',
      stderr: 'inherit',
      environment: { PATH: '/usr/bin:/bin', OURS: readlinkSync('/proc/self/fd/1') },
    });
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 0 });
  });
});

class BlockedSink {
  bytes = 0;
  released = false;
  finishedEarly = false;
  #unblock: () => void = () => undefined;
  #reached: () => void = () => undefined;
  readonly #gate = new Promise<void>((resolve) => (this.#unblock = resolve));
  readonly blocked = new Promise<void>((resolve) => (this.#reached = resolve));

  take(chunk: Uint8Array): Promise<void> {
    this.bytes += chunk.length;
    this.#reached();
    return this.#gate;
  }

  release(): void {
    this.released = true;
    this.#unblock();
  }
}
