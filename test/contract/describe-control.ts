import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { type ExecutionBackend } from '../../src/backends/backend.js';
import { asGlasshouseError } from '../../src/base/errors.js';
import {
  CollectingSink,
  commandSpec,
  childProcesses,
  markedProcesses,
  never,
  openDescriptors,
  PATH,
  type Ran,
  type ScratchDirectory,
} from './subject.js';
import { shell, streamOf, silentSource } from './programs.js';

export function describeControl(backend: ExecutionBackend): void {
  it('delivers a signal to the program', async () => {
    const sink = new CollectingSink();
    const script = 'trap "echo caught; exit 7" USR1; echo ready; while :; do sleep 0.1; done';
    const handle = await backend.start(commandSpec(['sh', '-c', script], { sink }), never);
    await sink.saw('ready');
    await backend.signal(handle, 'SIGUSR1');
    const result = await backend.wait(handle);
    await backend.signal(handle, 'SIGUSR1');
    await backend.cleanup(handle);
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 7 });
    assert.equal(sink.text('stdout'), 'ready\ncaught\n');
  });

  it('kills a program that ignores SIGTERM, and children that hold its stdout open', async () => {
    const sink = new CollectingSink();
    const script = 'trap "" TERM INT HUP; sleep 1000 & (setsid sleep 1000 &) ; echo ready; wait';
    const handle = await backend.start(commandSpec(['sh', '-c', script], { sink }), never);
    await sink.saw('ready');
    await backend.signal(handle, 'SIGTERM');
    await Promise.all([backend.kill(handle), backend.kill(handle)]);
    const result = await backend.wait(handle);
    assert.deepEqual(result.termination, { kind: 'signaled', signal: 'SIGKILL' });
    assert.deepEqual(markedProcesses(handle.executionId), []);
    await backend.kill(handle);
    await backend.cleanup(handle);
  });

  it('ends with the first process, whoever still holds stdout open', async () => {
    const { handle, result, stdout } = await shell(
      backend,
      'sleep 1000 & (setsid sleep 1000 &) ; echo done; exit 5',
    );
    assert.deepEqual(result.termination, { kind: 'exited', exitCode: 5 });
    assert.equal(stdout.toString(), 'done\n');
    assert.deepEqual(markedProcesses(handle.executionId), []);
  });

  it('answers wait() as often as it is asked', async () => {
    const handle = await backend.start(commandSpec(['sh', '-c', 'exit 9']), never);
    const [one, two] = await Promise.all([backend.wait(handle), backend.wait(handle)]);
    const three = await backend.wait(handle);
    await backend.cleanup(handle);
    for (const result of [one, two, three]) {
      assert.deepEqual(result.termination, { kind: 'exited', exitCode: 9 });
    }
  });

  it('keeps two executions apart', async () => {
    const run = (word: string): Promise<Ran> =>
      shell(backend, 'read line; echo "$WORD $line"', {
        environment: { PATH, WORD: word },
        stdin: streamOf([Buffer.from(`in-${word}\n`)]),
      });
    const [left, right] = await Promise.all([run('left'), run('right')]);
    assert.equal(left.stdout.toString(), 'left in-left\n');
    assert.equal(right.stdout.toString(), 'right in-right\n');
    assert.notEqual(left.handle.executionId, right.handle.executionId);
  });
}

export function describeLeftovers(backend: ExecutionBackend, scratch: ScratchDirectory): void {
  let descriptors: string[] = [];
  let names: string[] = [];

  /** Before the first execution of all: what any of them left would show. */
  before(() => {
    descriptors = openDescriptors();
    names = scratch.names();
  });

  function assertNothingLeft(executionId: string): void {
    assert.deepEqual(markedProcesses(executionId), []);
    assert.deepEqual(childProcesses(), []);
    assert.deepEqual(openDescriptors(), descriptors);
    assert.deepEqual(scratch.names(), names);
  }

  it('leaves nothing after cleanup(), however often it is called', async () => {
    const handle = await backend.start(commandSpec(['sh', '-c', 'echo x; sleep 1000 &']), never);
    await backend.wait(handle);
    await Promise.all([backend.cleanup(handle), backend.cleanup(handle)]);
    await backend.cleanup(handle);
    assertNothingLeft(handle.executionId);
  });

  it('leaves nothing after cleanup() of a program that still runs', async () => {
    const sink = new CollectingSink();
    const spec = commandSpec(['sh', '-c', 'setsid sleep 1000 & echo ready; cat'], {
      sink,
      stdin: silentSource(),
    });
    const handle = await backend.start(spec, never);
    await sink.saw('ready');
    await backend.cleanup(handle);
    assertNothingLeft(handle.executionId);
  });

  it('starts nothing when it was canceled before', async () => {
    const spec = commandSpec(['sleep', '1000']);
    await assert.rejects(backend.start(spec, AbortSignal.abort()), { code: 'canceled' });
    assertNothingLeft(spec.executionId);
  });

  it('leaves nothing when it is canceled while it starts', async () => {
    const controller = new AbortController();
    const spec = commandSpec(['sleep', '1000']);
    const starting = backend.start(spec, controller.signal);
    setImmediate(() => {
      controller.abort();
    });
    // A backend that starts in no time may be faster than the cancellation.
    const handle = await starting.catch((error: unknown) => {
      assert.equal(asGlasshouseError(error).code, 'canceled');
      return null;
    });
    if (handle !== null) await backend.cleanup(handle);
    assertNothingLeft(spec.executionId);
  });

  it('leaves nothing when the command does not exist', async () => {
    const spec = commandSpec(['no-such-command-of-glasshouse']);
    await assert.rejects(backend.start(spec, never), { code: 'command_not_found' });
    assertNothingLeft(spec.executionId);
  });
}
