import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { type ExecutionBackend } from '../../src/backends/backend.js';
import { ProcessBackend } from '../../src/backends/process/process-backend.js';
import { GlasshouseError } from '../../src/base/errors.js';
import { uuidv7 } from '../../src/base/uuid.js';
import { type EndedExecution, runOnce } from '../../src/engine/execution.js';
import { Observation } from '../../src/engine/observation.js';
import { type ExecutionRequest } from '../../src/engine/request.js';
import { markedProcesses, never } from '../contract/subject.js';
import { requestWith } from '../hostile/laboratory.js';

/** Runs a shell script on the process backend and checks that nothing of it goes on. */
async function race(
  script: string,
  changes: Partial<ExecutionRequest> = {},
  signal: AbortSignal = never,
  backend: ExecutionBackend = new ProcessBackend(),
): Promise<EndedExecution> {
  const executionId = uuidv7();
  const program = { kind: 'command', argv: ['sh', '-c', script] } as const;
  const observation = await Observation.open(null, backend.describe());
  const request = requestWith({ program, ...changes });
  const deadlineMs = changes.deadlineMs ?? null;
  const ended = await runOnce(backend, request, executionId, deadlineMs, signal, observation);
  await ended[Symbol.asyncDispose]();
  assert.deepEqual(markedProcesses(executionId), []);
  return ended;
}

describe('the race of all endings', () => {
  it('is won by the program when nothing else happens', async () => {
    const { outcome, result } = await race('exit 3');
    assert.deepEqual([outcome.status, outcome.exitCode, outcome.error], ['error', 3, null]);
    assert.ok(result !== null);
  });

  it('is won by the deadline, which lets a program save what it has', async () => {
    const { outcome, capture } = await race('trap "echo saved; exit 0" TERM; while :; do sleep 0.05; done', {
      timeoutMs: 300,
    });
    assert.deepEqual([outcome.status, outcome.exitCode], ['timeout', 0]);
    assert.equal(Buffer.from(capture.report('stdout').kept).toString(), 'saved\n');
  });

  it('is won by the output limit, and the deadline that would follow changes nothing', async () => {
    const { outcome } = await race('yes', { timeoutMs: 10_000, capture: { keepBytes: 1, endAfterBytes: 1 } });
    assert.equal(outcome.status, 'output_limit');
  });

  it('is won by the caller that goes away', async () => {
    const controller = new AbortController();
    const { outcome } = await race(
      'exec sleep 1000',
      {
        onStarted: () => {
          controller.abort();
        },
      },
      controller.signal,
    );
    assert.deepEqual([outcome.status, outcome.signal], ['canceled', 'SIGKILL']);
  });

  it('is not begun by a caller that has gone already', async () => {
    const { outcome, result } = await race('exit 0', {}, AbortSignal.abort());
    assert.deepEqual([outcome.status, result], ['canceled', null]);
  });

  it('is won by the program that ended in time, however long its files then take', async () => {
    const late = new LateBackend(1500);
    const { outcome } = await race('exit 0', { timeoutMs: 1000 }, never, late);
    assert.equal(outcome.status, 'ok');
    assert.equal(late.killed, false);
  });

  it('is lost by a listener that fails: infra_error, and the program is gone', async () => {
    const listener = { write: () => Promise.reject(new GlasshouseError('disk_full', 'no room')) };
    const { outcome, result } = await race('echo; exec sleep 1000', { listener });
    assert.deepEqual([outcome.status, outcome.error?.code, result], ['infra_error', 'disk_full', null]);
  });
});

/** Its result comes only long after the deadline, as that of a guest that is slow to send its files. */
class LateBackend extends ProcessBackend {
  killed = false;
  readonly #delayMs: number;

  constructor(delayMs: number) {
    super();
    this.#delayMs = delayMs;
  }

  override async wait(
    ...args: Parameters<ProcessBackend['wait']>
  ): Promise<Awaited<ReturnType<ProcessBackend['wait']>>> {
    const result = await super.wait(...args);
    await delay(this.#delayMs);
    return result;
  }

  override async kill(...args: Parameters<ProcessBackend['kill']>): Promise<void> {
    this.killed = true;
    await super.kill(...args);
  }
}
