import assert from 'node:assert/strict';

import { type ExecutionBackend } from '../../src/backends/backend.js';
import { type CompletedExecution } from '../../src/engine/completed.js';
import { type Redactor } from '../../src/redaction/redactor.js';
import { sampleRedactor } from '../redaction/sample-redactor.js';
import { Engine } from '../../src/engine/engine.js';
import { type ExecutionRequest } from '../../src/engine/request.js';
import { KeyRing } from '../../src/receipts/key-ring.js';
import { type ExecutionStatus, type Predicate } from '../../src/receipts/receipt.js';
import { ReceiptStore } from '../../src/receipts/store.js';
import { ReceiptWriter } from '../../src/receipts/store-writer.js';
import { verifyReceipt } from '../../src/receipts/verify.js';
import {
  childProcesses,
  LIMITS,
  never,
  openDescriptors,
  PATH,
  type ScratchDirectory,
} from '../contract/subject.js';

/** An engine over a real store and real keys, for one backend. */
export class Laboratory implements Disposable {
  readonly store: ReceiptStore;
  readonly engine: Engine;
  readonly #keys: KeyRing;
  readonly #scratch: ScratchDirectory;
  readonly #descriptors: readonly string[];
  readonly #children: readonly number[];

  constructor(scratch: ScratchDirectory, backend: ExecutionBackend, redactor: Redactor = sampleRedactor()) {
    this.#scratch = scratch;
    this.store = ReceiptStore.open(scratch.make('data'));
    this.#keys = KeyRing.open(scratch.make('keys'));
    this.engine = new Engine({
      backend,
      store: this.store,
      writer: new ReceiptWriter(this.store, this.#keys.logSigner),
      signer: this.#keys.signer,
      redactor,
      admission: { maxConcurrent: 4, memoryMb: 65_536, cpus: 64, maxQueued: 64, queueTimeoutMs: 600_000 },
      inlineFileBytes: 1 << 16,
    });
    this.#descriptors = descriptorsBesideStore();
    this.#children = childProcesses();
  }

  get publicKeyPem(): string {
    return this.#keys.publicKeyPem;
  }

  /** Runs until everything is torn down, and holds the stored receipt against what was answered. */
  async run(changes: Partial<ExecutionRequest>, signal: AbortSignal = never): Promise<CompletedExecution> {
    const completed = await this.engine.run(requestWith(changes), signal);
    await this.engine.settled();
    const predicate = await this.verified(completed.receiptId);
    assert.equal(predicate.outcome.status, completed.status);
    assert.equal(predicate.outcome.error?.code, completed.error?.code);
    return completed;
  }

  shell(script: string, changes: Partial<ExecutionRequest> = {}): Promise<CompletedExecution> {
    return this.run({ program: { kind: 'command', argv: ['sh', '-c', script] }, ...changes });
  }

  python(code: string, changes: Partial<ExecutionRequest> = {}): Promise<CompletedExecution> {
    return this.run({ program: { kind: 'python', code, args: [] }, ...changes });
  }

  /** What a stored receipt says, after its signature has been checked. */
  async verified(receiptId: string): Promise<Predicate> {
    const receipt = this.store.get(receiptId);
    assert.ok(receipt !== null, 'the receipt is stored');
    const report = await verifyReceipt(receipt.envelope, { trustedKeys: this.#keys.verifiers() });
    assert.ok(report.valid, JSON.stringify(report.checks));
    assert.ok(report.statement !== null);
    return report.statement.predicate;
  }

  /** The next run works, and of all runs before nothing is left but what is stored. */
  async assertSoundAndClean(): Promise<void> {
    const next = await this.shell('echo $((2+2))');
    assert.deepEqual([next.status, textOf(next)], ['ok', '4\n']);
    assert.equal(this.store.unfinished().length, 0);
    assert.equal(this.engine.running, 0);
    assert.deepEqual(childProcesses(), this.#children);
    assert.deepEqual(descriptorsBesideStore(), this.#descriptors);
    assert.deepEqual(
      this.#scratch.names().filter((name) => /^(?:spool|tmp)\//.test(name)),
      [],
    );
  }

  [Symbol.dispose](): void {
    this.store.close();
  }
}

export function requestWith(changes: Partial<ExecutionRequest>): ExecutionRequest {
  return {
    client: 'laboratory',
    program: { kind: 'command', argv: ['true'] },
    environment: { PATH },
    inputFiles: [],
    stdin: 'closed',
    stdout: 'capture',
    stderr: 'capture',
    capture: { keepBytes: 1 << 16, endAfterBytes: 1 << 20 },
    inheritedStdout: null,
    inheritedStderr: null,
    streamsCombined: false,
    onQueued: null,
    onStarted: null,
    listener: null,
    onInterrupted: null,
    timeoutMs: 30_000,
    deadlineMs: null,
    limits: LIMITS,
    observation: null,
    fresh: false,
    ...changes,
  };
}

export function textOf(completed: CompletedExecution, stream: 'stdout' | 'stderr' = 'stdout'): string {
  return Buffer.from(completed[stream]?.kept ?? []).toString('utf8');
}

/** The ending, with everything that helps when it is another one. */
export function assertStatus(completed: CompletedExecution, status: ExecutionStatus): void {
  const seen = `${completed.status} ${completed.error?.message ?? ''} ${textOf(completed, 'stderr').slice(0, 500)}`;
  assert.equal(completed.status, status, seen);
}

/** SQLite opens its log when it first writes and keeps it. */
function descriptorsBesideStore(): string[] {
  return openDescriptors().filter((name) => !/glasshouse\.db|\/log-head$/.test(name));
}
