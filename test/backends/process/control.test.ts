import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type OutputSink } from '../../../src/backends/backend.js';
import { GlasshouseError } from '../../../src/base/errors.js';
import {
  CollectingSink,
  ScratchDirectory,
  backend,
  never,
  openDescriptors,
  processesOf,
  run,
  shell,
  specFor,
  bytesOf,
  IdleSource,
} from './support.js';

describe('signal, kill and cleanup', () => {
  it('sends a signal to the program', async () => {
    const sink = new CollectingSink();
    const script = 'trap "echo got it; exit 7" TERM; echo ready; while :; do sleep 1000 & wait; done';
    const handle = await backend.start(specFor(['/bin/sh', '-c', script], { sink }), never);
    await sink.saw('ready');
    await backend.signal(handle, 'SIGTERM');
    const result = await backend.wait(handle);
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 7 });
    assert.equal(sink.text('stdout'), 'ready\ngot it\n');
    await backend.signal(handle, 'SIGTERM');
    await backend.cleanup(handle);
  });

  it('kills a program that ignores SIGTERM, and everything below it', async () => {
    const sink = new CollectingSink();
    const script = 'trap "" TERM INT HUP; (sleep 1000 & sleep 1000) & echo ready; sleep 1000; sleep 1000';
    const spec = specFor(['/bin/sh', '-c', script], { sink });
    const handle = await backend.start(spec, never);
    await sink.saw('ready');
    await backend.signal(handle, 'SIGTERM');
    await backend.kill(handle);
    const result = await backend.wait(handle);
    assert.deepEqual(result.termination, { kind: 'signaled', signal: 'SIGKILL' });
    assert.deepEqual(processesOf(spec.executionId), []);
    await backend.kill(handle);
    await backend.cleanup(handle);
    await backend.cleanup(handle);
  });

  it('kills a stopped program', async () => {
    const sink = new CollectingSink();
    const handle = await backend.start(
      specFor(['/bin/sh', '-c', 'echo ready; kill -STOP $$'], { sink }),
      never,
    );
    await sink.saw('ready');
    await backend.kill(handle);
    assert.deepEqual((await backend.wait(handle)).termination, { kind: 'signaled', signal: 'SIGKILL' });
    await backend.cleanup(handle);
  });

  it('resolves wait() after kill() although the sink takes nothing', async () => {
    let reached: () => void = () => undefined;
    const blocked = new Promise<void>((resolve) => (reached = resolve));
    const sink: OutputSink = {
      write: () => {
        reached();
        return new Promise(() => undefined);
      },
    };
    const handle = await backend.start(specFor(['yes'], { sink }), never);
    await blocked;
    await backend.kill(handle);
    assert.deepEqual((await backend.wait(handle)).termination, { kind: 'signaled', signal: 'SIGKILL' });
    await backend.cleanup(handle);
  });

  it('cleans up after a program that still runs and a sink that takes nothing', async () => {
    const before = openDescriptors();
    const sink: OutputSink = { write: () => new Promise(() => undefined) };
    const source = new IdleSource();
    const spec = specFor(['/bin/sh', '-c', 'yes & yes >&2 & sleep 1000'], { sink, stdin: source });
    const handle = await backend.start(spec, never);
    await backend.cleanup(handle);
    assert.deepEqual(processesOf(spec.executionId), []);
    assert.equal(openDescriptors(), before);
    assert.equal(source.returned, true);
  });

  it('leaves no descriptor, process or file behind in 200 runs', { timeout: 120_000 }, async () => {
    await shell('exit 0', { stdin: bytesOf('warm up') });
    const before = openDescriptors();
    using scratch = new ScratchDirectory();
    process.env['TMPDIR'] = scratch.path;
    for (let i = 0; i < 200; i += 1) {
      if (i % 4 === 0) await assert.rejects(run(['no-such-command-here']));
      else {
        const { handle } = await shell('cat; sleep 1000 & echo', { stdin: bytesOf('x') });
        assert.deepEqual(processesOf(handle.executionId), []);
      }
    }
    assert.equal(openDescriptors(), before);
    delete process.env['TMPDIR'];
    assert.deepEqual(readdirSync(scratch.path), []);
  });

  it('starts nothing for a caller who has gone', async () => {
    const before = openDescriptors();
    const spec = specFor(['sleep', '1000']);
    await assert.rejects(
      backend.start(spec, AbortSignal.abort()),
      (error) => error instanceof GlasshouseError && error.code === 'canceled',
    );
    assert.deepEqual(processesOf(spec.executionId), []);
    assert.equal(openDescriptors(), before);
  });
});
