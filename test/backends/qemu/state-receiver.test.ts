import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';

import { StateReceiver } from '../../../src/backends/qemu/state-receiver.js';
import { never, openDescriptors, ScratchDirectory } from '../../contract/subject.js';

describe('the receiver of a frozen state', () => {
  it('gives the socket no name that stays', async () => {
    using scratch = new ScratchDirectory();
    const names = scratch.names();
    await using _receiver = await StateReceiver.listen(scratch.path);
    assert.deepEqual(scratch.names(), names);
  });

  it('takes what comes until the sender closes', async () => {
    using scratch = new ScratchDirectory();
    await using receiver = await StateReceiver.listen(scratch.path);
    const received = receiver.receive(never);
    const sender = connect(`/proc/self/fd/${receiver.socket.fd}`);
    const state = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) % 256));
    sender.write(state.subarray(0, 100_000));
    sender.end(state.subarray(100_000));
    assert.deepEqual(await received, state);
  });

  it('does not take a state without end', async () => {
    using scratch = new ScratchDirectory();
    await using receiver = await StateReceiver.listen(scratch.path);
    const received = receiver.receive(never);
    const sender = connect(`/proc/self/fd/${receiver.socket.fd}`);
    sender.on('error', () => undefined);
    const chunk = Buffer.alloc(1024 * 1024);
    const send = (): void => {
      while (!sender.destroyed && sender.write(chunk)) continue;
    };
    sender.on('drain', send);
    send();
    await assert.rejects(received, { code: 'vmm_failed', message: /large/ });
    if (!sender.closed) await new Promise((resolve) => sender.once('close', resolve));
  });

  it('stops to wait when the sender has died before it connected', async () => {
    using scratch = new ScratchDirectory();
    await using receiver = await StateReceiver.listen(scratch.path);
    const died = new AbortController();
    const received = receiver.receive(died.signal);
    died.abort();
    await assert.rejects(received);
  });

  it('leaves no descriptor, however often it is disposed', async () => {
    using scratch = new ScratchDirectory();
    const before = openDescriptors();
    const receiver = await StateReceiver.listen(scratch.path);
    await Promise.all([receiver[Symbol.asyncDispose](), receiver[Symbol.asyncDispose]()]);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(openDescriptors(), before);
  });

  it('cannot listen in a directory that is not there', async () => {
    using scratch = new ScratchDirectory();
    await assert.rejects(StateReceiver.listen(`${scratch.path}/missing`), { code: 'vmm_failed' });
  });
});
