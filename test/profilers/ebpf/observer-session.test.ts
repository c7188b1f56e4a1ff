import assert from 'node:assert/strict';
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { EbpfProfiler } from '../../../src/profilers/ebpf/ebpf-profiler.js';
import {
  type ObservationOptions,
  type ObservedEvent,
  type Observed,
  type Unobserved,
} from '../../../src/profilers/profiler.js';
import { childProcesses, never, ScratchDirectory } from '../../contract/subject.js';
import {
  ATTACHED,
  endFrame,
  execFrames,
  LOADED,
  named,
  nameBytes,
  overFrame,
  processFrame,
  type Script,
  u32,
  u64,
} from './frames.js';
import { type Behaviour, scriptedProfiler } from './scripted-observer.js';

const TREE: Script = [processFrame(10, null), ...execFrames(10, '/bin/true', ['true']), endFrame(10)];
const FAILED: Script[number] = [
  'failed',
  Buffer.concat([u32(2), u32(1), nameBytes(named('no_privilege')), nameBytes(named('really\u001b[2J'))]),
];

interface Seen {
  readonly observed: Observed | Unobserved;
  readonly attachError: unknown;
  readonly losses: readonly string[];
}

/** Attaches to nothing in particular and finishes; nothing of the observer may be left then. */
async function observe(behaviour: Behaviour, options: Partial<ObservationOptions> = {}): Promise<Seen> {
  using scratch = new ScratchDirectory();
  const losses: string[] = [];
  const children = childProcesses();
  let attachError: unknown = null;
  let observed: Observed | Unobserved;
  {
    const profiler = scriptedProfiler(join(scratch.path, 'bpf'), behaviour);
    await using session = await profiler.open({
      listener: null,
      onLost: (reason) => losses.push(reason),
      ...options,
    });
    await session.attach(1, never).catch((error: unknown) => {
      attachError = error;
    });
    observed = await session.finish();
  }
  assert.deepEqual(childProcesses(), children);
  return { observed, attachError, losses };
}

function hostObservation({ observed }: Seen): Observed['observation'] {
  assert.ok(observed.observation.level === 'host');
  return observed.observation;
}

describe('a session with an observer', () => {
  it('ends with all that was seen', async () => {
    const seen = await observe({ before: [LOADED], after: [ATTACHED, ...TREE, overFrame()], then: 'exit' });
    assert.equal(hostObservation(seen).complete, true);
    assert.deepEqual(hostObservation(seen).hooks, ['tp_btf/sys_exit', 'task_storage']);
    assert.deepEqual(seen.losses, []);
  });

  it('tells it to stop when something of the command lives on, and says so', async () => {
    const last = [overFrame([], { treeEnded: false, alive: 2 })];
    const seen = await observe({ before: [LOADED], after: [ATTACHED, ...TREE], then: 'wait_for_stop', last });
    assert.match(hostObservation(seen).reason ?? '', /^2 threads/);
    assert.deepEqual([hostObservation(seen).complete, hostObservation(seen).blind_from_us], [false, null]);
  });

  it('passes events on as they come, whole', async () => {
    const events: ObservedEvent[] = [];
    const listener = {
      write: (event: ObservedEvent): Promise<void> => {
        events.push(event);
        return Promise.resolve();
      },
    };
    await observe({ before: [LOADED], after: [ATTACHED, ...TREE, overFrame()], then: 'exit' }, { listener });
    assert.deepEqual(
      events.map(({ event }) => event),
      ['process', 'exec', 'process_end'],
    );
    assert.deepEqual(events[1]?.['argv'], ['true']);
  });

  it('goes on when whoever listens fails', async () => {
    const listener = { write: () => Promise.reject(new Error('gone')) };
    const seen = await observe(
      { before: [LOADED], after: [ATTACHED, ...TREE, overFrame()], then: 'exit' },
      { listener },
    );
    assert.equal(hostObservation(seen).complete, true);
  });

  it('ends although whoever listens never takes anything', async () => {
    const listener = { write: () => new Promise<void>(() => undefined) };
    const seen = await observe(
      { before: [LOADED], after: [ATTACHED, ...TREE, overFrame()], then: 'exit' },
      { listener },
    );
    assert.equal(hostObservation(seen).events, 3);
  });
});

describe('a session with an observer that cannot observe', () => {
  it('says why, in words that are safe for a terminal', async () => {
    const { observed, attachError } = await observe({ before: [FAILED], after: [], then: 'exit' });
    assert.equal((attachError as { code?: string }).code, 'observation_unavailable');
    assert.match(observed.observation.reason ?? '', /CAP_BPF.*EPERM/);
  });

  it('learns of a refusal to follow', async () => {
    const { attachError } = await observe({ before: [LOADED], after: [FAILED], then: 'exit' });
    assert.equal((attachError as { code?: string }).code, 'observation_unavailable');
  });

  it('learns how one ended that said nothing, and its last words', async () => {
    const { observed } = await observe({ before: [LOADED], after: [], then: 'crash' });
    assert.match(observed.observation.reason ?? '', /SIGKILL: it broke/);
  });

  for (const [name, makeBad] of [
    [
      'is missing',
      (file: string) => {
        rmSync(file);
      },
    ],
    [
      'may not be executed',
      (file: string) => {
        chmodSync(file, 0o600);
      },
    ],
  ] as const) {
    it(`is refused when it ${name}`, async () => {
      using scratch = new ScratchDirectory();
      const directory = join(scratch.path, 'bpf');
      scriptedProfiler(directory, { before: [], after: [], then: 'exit' });
      makeBad(join(directory, 'observer'));
      const sizes = { ringBytes: 4096, fileRecords: 1, peerRecords: 1, argvBytes: 0 };
      const profiler = new EbpfProfiler({ directory, sizes });
      await assert.rejects(profiler.open({ listener: null, onLost: () => undefined }), {
        code: 'observation_unavailable',
      });
    });
  }

  it('gives up when the caller does', async () => {
    using scratch = new ScratchDirectory();
    const profiler = scriptedProfiler(join(scratch.path, 'bpf'), { before: [], after: [], then: 'hang' });
    await using session = await profiler.open({ listener: null, onLost: () => undefined });
    await assert.rejects(session.attach(1, AbortSignal.abort()), { code: 'canceled' });
  });
});

describe('a session with an observer that does not live to the end', () => {
  const heartbeat: Script[number] = ['heartbeat', Buffer.concat([u64(7_000_000_000), u64(0), u32(1)])];

  it('keeps what was seen, and says from when on it was blind', async () => {
    const seen = await observe({ before: [LOADED], after: [ATTACHED, ...TREE, heartbeat], then: 'crash' });
    const observation = hostObservation(seen);
    assert.equal(observation.blind_from_us, 6_000_000);
    assert.deepEqual([observation.complete, observation.totals], [false, null]);
    assert.match(observation.reason ?? '', /SIGKILL/);
    assert.equal(seen.losses.length, 1);
    assert.ok('processTree' in seen.observed);
    assert.equal(seen.observed.processTree[0]?.images.length, 1);
  });

  it('ends one that hangs', async () => {
    const seen = await observe({ before: [LOADED], after: [ATTACHED, ...TREE, heartbeat], then: 'hang' });
    assert.match(hostObservation(seen).reason ?? '', /did not answer/);
    assert.equal(hostObservation(seen).blind_from_us, 6_000_000);
  });

  it('was blind from its last heartbeat on when it added up, and from its last event on when it did not', async () => {
    const behaviour: Behaviour = { before: [LOADED], after: [ATTACHED, ...TREE], then: 'crash' };
    const listener = { write: () => Promise.resolve() };
    assert.equal(hostObservation(await observe(behaviour)).blind_from_us, 0);
    assert.equal(hostObservation(await observe(behaviour, { listener })).blind_from_us, 1_000_000);
  });

  it('believes nothing more of one that breaks the rules', async () => {
    const seen = await observe({ before: [LOADED], after: [ATTACHED, ...TREE, LOADED], then: 'hang' });
    assert.match(hostObservation(seen).reason ?? '', /broke the rules/);
  });
});
