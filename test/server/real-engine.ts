import { sampleRedactor } from '../redaction/sample-redactor.js';
import { type BackendDescription, type Footprint, type Limits } from '../../src/backends/backend.js';
import { ProcessBackend } from '../../src/backends/process/process-backend.js';
import { type AdmissionLimits } from '../../src/engine/admission.js';
import { type CompletedExecution } from '../../src/engine/completed.js';
import { Engine } from '../../src/engine/engine.js';
import { type ExecutionRequest } from '../../src/engine/request.js';
import { KeyRing } from '../../src/receipts/key-ring.js';
import { ReceiptWriter } from '../../src/receipts/store-writer.js';
import { ReceiptStore } from '../../src/receipts/store.js';
import { PATH, type ScratchDirectory } from '../contract/subject.js';

/** Without isolation, but with the footprint of a guest, so that there is something to count. */
export class CountedProcesses extends ProcessBackend {
  override footprint({ memoryMb, cpus }: Limits): Footprint {
    return { memoryMb, cpus };
  }
}

/** A real engine on the process backend, which takes the code of a request for a shell script. */
export class ShellEngine implements Disposable {
  readonly store: ReceiptStore;
  readonly #engine: Engine;
  readonly #changes: Partial<ExecutionRequest>;

  constructor(
    scratch: ScratchDirectory,
    limits: Partial<AdmissionLimits> = {},
    changes: Partial<ExecutionRequest> = {},
  ) {
    this.store = ReceiptStore.open(scratch.make('data'));
    this.#changes = changes;
    const { signer, logSigner } = KeyRing.open(scratch.make('keys'));
    this.#engine = new Engine({
      backend: new CountedProcesses(),
      store: this.store,
      writer: new ReceiptWriter(this.store, logSigner),
      signer,
      admission: {
        maxConcurrent: 4,
        memoryMb: 65_536,
        cpus: 64,
        maxQueued: 64,
        queueTimeoutMs: 600_000,
        ...limits,
      },
      redactor: sampleRedactor(),
      inlineFileBytes: 0,
    });
  }

  get load(): Engine['load'] {
    return this.#engine.load;
  }

  get retryAfterMs(): number {
    return this.#engine.retryAfterMs;
  }

  gauges(): ReturnType<Engine['gauges']> {
    return this.#engine.gauges();
  }

  describe(): BackendDescription {
    return this.#engine.describeBackend();
  }

  run(request: ExecutionRequest, signal: AbortSignal): Promise<CompletedExecution> {
    const code = request.program.kind === 'python' ? request.program.code : 'exit 99';
    const program = { kind: 'command', argv: ['sh', '-c', code] } as const;
    return this.#engine.run(
      { ...request, ...this.#changes, program, environment: { PATH, ...request.environment } },
      signal,
    );
  }

  [Symbol.dispose](): void {
    this.store.close();
  }
}
