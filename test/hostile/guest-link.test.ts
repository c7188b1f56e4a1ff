import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { QemuProcess } from '../../src/backends/qemu/qemu-process.js';
import { type GuestTimeouts } from '../../src/backends/vm/guest-execution.js';
import { type VirtualMachine, type VirtualMachineMonitor } from '../../src/backends/vm/machine.js';
import { type ErrorCode } from '../../src/base/errors.js';
import { type CompletedExecution } from '../../src/engine/completed.js';
import { type ExecutionRequest } from '../../src/engine/request.js';
import { makeQemuBackend, reasonToSkip, ScratchDirectory } from '../contract/subject.js';
import { assertStatus, Laboratory } from './laboratory.js';

const MIB = 1024 * 1024;
const SCRIPT = fileURLToPath(new URL('bad-guest.js', import.meta.url));
const SHORT_MS = 300;

/** A machine whose guest speaks the protocol as `behaviour` says: a real process with a real link. */
class BadMonitor implements VirtualMachineMonitor {
  readonly name = 'qemu';
  readonly memoryKind = 'sealed';
  readonly overheadMb = 0;
  readonly hostFindings = (): readonly string[] => [];
  readonly gauges = (): readonly [] => [];
  readonly accelerators = ['tcg'] as const;
  behaviour = 'behaves';

  inspect(): Promise<{ version: string; notes: string[] }> {
    return Promise.resolve({ version: 'none', notes: [] });
  }

  freezeKey(): Promise<string> {
    return Promise.resolve('none');
  }

  launchTemplate(): Promise<null> {
    return Promise.resolve(null);
  }

  launch(): Promise<VirtualMachine> {
    const child = spawn(process.execPath, [SCRIPT, this.behaviour], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    return Promise.resolve(QemuProcess.adopt(child, null));
  }
}

const scratch = new ScratchDirectory();
const monitor = new BadMonitor();

function makeLaboratory(timeouts: GuestTimeouts): Laboratory {
  return new Laboratory(scratch, makeQemuBackend(scratch, { monitor, timeouts }));
}

const skip = await reasonToSkip(makeQemuBackend(scratch, { monitor }));
/** For guests that are found out by what they say, however slow this machine is. */
const patient = makeLaboratory({ bootMs: 60_000, collectMs: 60_000 });
/** For guests that are found out by their silence. */
const impatient = makeLaboratory({ bootMs: SHORT_MS, collectMs: SHORT_MS });
const impatientOnceStarted = makeLaboratory({ bootMs: 60_000, collectMs: SHORT_MS });

after(() => {
  for (const laboratory of [patient, impatient, impatientOnceStarted]) laboratory[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

async function meet(
  laboratory: Laboratory,
  behaviour: string,
  changes: Partial<ExecutionRequest> = {},
): Promise<CompletedExecution> {
  monitor.behaviour = behaviour;
  const rssBefore = process.memoryUsage.rss();
  const ended = await laboratory.run({ timeoutMs: null, ...changes });
  const growth = process.memoryUsage.rss() - rssBefore;
  // Half a second of a flood that nobody holds back is far more; the collector's own lag is not.
  assert.ok(growth < 192 * MIB, `this process grew by ${growth} bytes`);
  return ended;
}

function describeInfraErrors(
  title: string,
  laboratory: Laboratory,
  code: ErrorCode,
  behaviours: readonly string[],
): void {
  describe(title, { skip: skip ?? false }, () => {
    for (const behaviour of behaviours) {
      it(`that ${behaviour}`, async () => {
        const ended = await meet(laboratory, behaviour);
        assertStatus(ended, 'infra_error');
        assert.equal(ended.error?.code, code, ended.error?.message);
        assert.deepEqual([ended.exitCode, ended.signal], [null, null]);
      });
    }
  });
}

describeInfraErrors('a guest that breaks the rules is not believed: one', patient, 'guest_link_violation', [
  'sends garbage',
  'sends a frame that is too long',
  'announces a frame of 4 GB',
  'sets the reserved field',
  'begins with sequence 1',
  'sends a frame twice',
  'says hello twice',
  'speaks another version',
  'sends an unknown type',
  'answers with a type of the host',
  'sends a payload that is too short',
  'exits before it starts',
  'writes before it starts',
  'fails at an unknown stage',
  'fails with an impossible errno',
  'starts twice',
  'writes an empty frame',
  'grants no credit',
  'sends files while it runs',
  'exits with code 256',
  'exits with signal 65',
  'exits with a code and a signal',
  'exits with unknown flags',
  'exits twice',
  'writes after it exited',
  'grants credit after it exited',
  'names ../x',
  'names /etc/x',
  'names a/../../x',
  'names a//x',
  'names .',
  'names nothing',
  'names a NUL',
  'names 5,000 bytes',
  'names a set-user-ID beyond all bits',
  'names an unknown kind',
  'names more bytes than a number holds',
  'names more bytes than the disk has',
  'sends bytes of no file',
  'sends more bytes than it named',
  'sends fewer bytes than it named',
  'names more files than are allowed',
  'ends with unknown flags',
]);

describeInfraErrors('a guest that is gone: one', patient, 'guest_lost', [
  'ends before hello',
  'dies while it runs',
  'hangs up while it runs',
  'dies inside a frame',
  'floods the console',
]);

describeInfraErrors('a guest that does not boot: one', impatient, 'boot_timeout', [
  'says nothing',
  'says hello and no more',
]);

describe('a guest that does not answer', { skip: skip ?? false }, () => {
  for (const [behaviour, status] of [
    ['does not obey', 'timeout'],
    ['floods stdout whatever it is told', 'output_limit'],
  ] as const) {
    it(`is ended when it ${behaviour}`, async () => {
      const ended = await meet(impatientOnceStarted, behaviour, { timeoutMs: SHORT_MS });
      assertStatus(ended, status);
      assert.equal(ended.error?.code, 'guest_unresponsive');
    });
  }

  it('is ended by its deadline when it grants credit without end and reads nothing', async () => {
    let offered = 0;
    const endless = (async function* () {
      for (;;) {
        offered += 65_536;
        yield await Promise.resolve(Buffer.alloc(65_536));
      }
    })();
    const behaviour = 'grants credit without end and reads nothing';
    const ended = await meet(impatientOnceStarted, behaviour, { timeoutMs: SHORT_MS, stdin: endless });
    assertStatus(ended, 'timeout');
    assert.equal(ended.error?.code, 'guest_unresponsive');
    assert.ok(offered < 4 * MIB, `${offered} bytes were taken`);
  });

  it('keeps its exit code when only its files are missing, and the receipt says so', async () => {
    const ended = await meet(impatientOnceStarted, 'never ends its list');
    assertStatus(ended, 'ok');
    assert.equal(ended.filesComplete, false);
    const { artifacts } = await impatientOnceStarted.verified(ended.receiptId);
    assert.equal(artifacts.files_complete, false);
  });

  it('keeps the files that came whole when it dies in the middle of them', async () => {
    const ended = await meet(patient, 'dies in the middle of its files');
    assert.deepEqual([ended.status, ended.exitCode, ended.filesComplete], ['error', 3, false]);
    assert.deepEqual(
      ended.files.map((file) => Buffer.from(file.path).toString()),
      ['whole'],
    );
  });

  it('is understood at once when it refuses input that it no longer reads', async () => {
    const content = Buffer.alloc(16 * MIB);
    const ended = await meet(patient, 'refuses input and reads no more', {
      inputFiles: [{ path: 'large', content, executable: false }],
    });
    assertStatus(ended, 'error');
    assert.equal(ended.error?.code, 'limit_exceeded');
  });
});

describe('what a guest prints on its console', { skip: skip ?? false }, () => {
  it('reaches an error message short and printable', async () => {
    const ended = await meet(patient, 'floods the console');
    const message = ended.error?.message ?? '';
    assert.match(message, /Last words/);
    assert.ok(message.length < 10_000, `${message.length} characters`);
    assert.match(message, /^[^\p{C}]*$/u);
  });
});

describe('after guests that break the rules', { skip: skip ?? false }, () => {
  it('the next run works and nothing is left', async () => {
    monitor.behaviour = 'behaves';
    await patient.assertSoundAndClean();
    assert.equal(impatient.store.unfinished().length, 0);
    assert.equal(impatientOnceStarted.store.unfinished().length, 0);
  });
});
