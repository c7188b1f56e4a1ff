import {
  type BackendDescription,
  type BackendGauge,
  type ExecutionBackend,
  type OutputFile,
  PYTHON_CODE_FILE,
} from '../backends/backend.js';
import { asGlasshouseError, GlasshouseError } from '../base/errors.js';
import { thisProcess } from '../base/process-identity.js';
import { uuidv7 } from '../base/uuid.js';
import { sha256 } from '../receipts/crypto.js';
import { buildStatement, signStatement } from '../receipts/statement.js';
import { type Signer } from '../receipts/signer.js';
import { type ReceiptStore } from '../receipts/store.js';
import { Admission, type AdmissionLimits, type AdmissionLoad, type Applicant } from './admission.js';
import { type ReceiptWriter } from '../receipts/store-writer.js';
import { textFromBytes, textToBytes } from '../receipts/text.js';
import { ExecutionRedaction } from '../redaction/execution-redaction.js';
import { type Redactor } from '../redaction/redactor.js';
import { type CapturedStream, type CompletedExecution, type CompletedFile } from './completed.js';
import { type EndedExecution, notStarted, runOnce } from './execution.js';
import { Observation, withoutSecrets } from './observation.js';
import { buildPredicate, executionRecord, type RecordParts, requestRecord } from './record.js';
import { type ExecutionRequest, type InheritedHash } from './request.js';
import { StartFailures } from './start-failures.js';

/** Names of output files, all together, that one receipt lists. */
const NAME_BUDGET_BYTES = 1024 * 1024;

export interface EngineOptions {
  readonly backend: ExecutionBackend;
  readonly store: ReceiptStore;
  readonly writer: ReceiptWriter;
  readonly signer: Signer;
  readonly admission: AdmissionLimits;
  readonly redactor: Redactor;
  /** Bytes of output files, all together, that an answer carries inline. */
  readonly inlineFileBytes: number;
}

/** What an execution holds on to until it has been answered. */
interface Held {
  readonly place: Disposable;
  ended: EndedExecution | null;
}

/** Runs executions on one backend and leaves a stored, signed receipt for every one that was admitted. */
export class Engine {
  readonly #options: EngineOptions;
  readonly #admission: Admission;
  readonly #startFailures = new StartFailures();
  readonly #releases = new Set<Promise<void>>();

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#admission = new Admission(options.admission);
  }

  /** Checks the backend; run() does it too, later and slower. */
  async prepare(signal: AbortSignal): Promise<void> {
    await this.#options.backend.prepare(signal);
  }

  get running(): number {
    return this.#admission.running;
  }

  get queued(): number {
    return this.#admission.queued;
  }

  /** What runs and waits now. */
  get load(): AdmissionLoad {
    return this.#admission.load;
  }

  /** Milliseconds after which one that is refused now may expect a place in the queue. */
  get retryAfterMs(): number {
    return this.#admission.retryAfterMs;
  }

  gauges(): readonly BackendGauge[] {
    return this.#options.backend.gauges();
  }

  describeBackend(): BackendDescription {
    return this.#options.backend.describe();
  }

  /** Why the next execution would probably not be started, for people; null when nothing speaks against it. */
  whyUnavailable(): string | null {
    return this.#startFailures.reason();
  }

  /**
   * Runs one program to its end. Whatever the program does is an outcome and not an error. Rejects as
   * Admission.enter() does before anything was started, or when the backend could never be prepared or the receipt
   * cannot be stored.
   */
  async run(request: ExecutionRequest, signal: AbortSignal): Promise<CompletedExecution> {
    const { backend } = this.#options;
    const arrivedAt = performance.now();
    const place = await this.#admission.enter(applicantOf(request, backend), signal);
    const held: Held = { place, ended: null };
    try {
      return await this.#runAdmitted(request, signal, arrivedAt, held);
    } finally {
      this.#release(held);
    }
  }

  /** Resolves when executions that have been answered have left nothing behind. */
  async settled(): Promise<void> {
    await Promise.all(this.#releases);
  }

  async #runAdmitted(
    request: ExecutionRequest,
    signal: AbortSignal,
    arrivedAt: number,
    held: Held,
  ): Promise<CompletedExecution> {
    const { backend, store } = this.#options;
    const queueMs = performance.now() - arrivedAt;
    const unprepared = await this.#prepareFailure(signal);
    const description = backend.describe();
    const executionId = uuidv7();
    const startedAt = new Date();
    const begunAt = performance.now();
    const redaction = redactionOf(this.#options.redactor, request);
    const deadlineMs = request.deadlineMs === null ? null : request.deadlineMs - (begunAt - arrivedAt);
    store.begin({
      executionId,
      startedAt: startedAt.toISOString(),
      owner: thisProcess(),
      request: JSON.stringify(requestRecord(request, description, redaction, null)),
      execution: JSON.stringify(executionRecord(description, redaction, null, startedAt)),
    });
    await using observation = await Observation.open(
      unprepared === null ? withoutSecrets(request.observation, redaction) : null,
      description,
    );
    const refusal = unprepared ?? observation.refusal;
    const ended =
      refusal === null
        ? await runOnce(backend, this.#reporting(request), executionId, deadlineMs, signal, observation)
        : notStarted(request, refusal);
    held.ended = ended;
    this.#startFailures.recordEnd(ended);
    const observed = await observation.finish();
    // By the monotonic clock, so that a step of the wall clock cannot make the end come before the start.
    const finishedAt = new Date(startedAt.getTime() + Math.round(performance.now() - begunAt));
    const receiptBegunAt = performance.now();
    const files = newFiles(request, ended.result?.outputFiles ?? []);
    const outputFiles = withoutSecretNames(withinNameBudget(files), redaction);
    const parts: RecordParts = {
      executionId,
      startedAt,
      finishedAt,
      queueMs,
      request,
      backend: description,
      redaction,
      ended,
      observed,
      outputFiles,
      outputFilesComplete:
        (ended.result?.outputFilesComplete ?? false) && outputFiles.length === files.length,
      inherited: {
        stdout: await hashInherited(request.inheritedStdout),
        stderr: await hashInherited(request.inheritedStderr),
      },
    };
    const receiptId = await this.#storeReceipt(parts);
    const now = performance.now();
    return {
      executionId,
      receiptId,
      ...parts.ended.outcome,
      error: publicError(parts),
      stdout: captured(parts, 'stdout'),
      stderr: captured(parts, 'stderr'),
      files: inlineFiles(parts.outputFiles, this.#options.inlineFileBytes),
      filesComplete: parts.outputFilesComplete,
      durationMs: now - arrivedAt,
      timings: {
        queueMs,
        bootMs: ended.bootMs,
        runMs: ended.result?.runMs ?? 0,
        collectMs: ended.result?.collectMs ?? 0,
        receiptMs: now - receiptBegunAt,
        bootStages: ended.bootStages,
      },
    };
  }

  #reporting(request: ExecutionRequest): ExecutionRequest {
    return {
      ...request,
      onStarted: (control) => {
        this.#startFailures.recordStart();
        request.onStarted?.(control);
      },
    };
  }

  /** Not awaited by the answer: what the backend has to tear down is nothing that a caller waits for. */
  #release({ place, ended }: Held): void {
    const release = (async () => {
      using _place = place;
      await ended?.[Symbol.asyncDispose]();
    })().catch((error: unknown) => {
      process.emitWarning(asGlasshouseError(error));
    });
    this.#releases.add(release);
    void release.then(() => this.#releases.delete(release));
  }

  /**
   * What keeps the backend from running anything, for example an image that was damaged since the last execution.
   * A backend that has never worked has nothing to say of itself for a receipt: then it throws.
   */
  async #prepareFailure(signal: AbortSignal): Promise<GlasshouseError | null> {
    const { backend } = this.#options;
    try {
      await backend.prepare(signal);
      return null;
    } catch (error) {
      const failure = asGlasshouseError(error);
      if (failure.code === 'canceled' || !canDescribeItself(backend)) throw failure;
      return failure;
    }
  }

  async #storeReceipt(parts: RecordParts): Promise<string> {
    const { writer, signer } = this.#options;
    const statement = buildStatement(buildPredicate(parts));
    const receipt = await signStatement(statement, signer);
    const outputs = {
      stdout: captured(parts, 'stdout')?.kept ?? null,
      stderr: captured(parts, 'stderr')?.kept ?? null,
      files: parts.outputFiles
        .filter((file) => file.sha256 !== null)
        .map((file) => ({ path: file.path, chunks: file.read() })),
    };
    await writer.write({ receipt, statement, outputs });
    return receipt.receiptId;
  }
}

function applicantOf(request: ExecutionRequest, backend: ExecutionBackend): Applicant {
  const { client, deadlineMs, onQueued, limits } = request;
  return { client, deadlineMs, onQueued, footprint: backend.footprint(limits) };
}

function redactionOf(redactor: Redactor, { program, environment }: ExecutionRequest): ExecutionRedaction {
  const argv = program.kind === 'python' ? program.args : program.argv;
  return new ExecutionRedaction(redactor, { environment, argv });
}

/** A message may quote a command or a path; what is answered says no more than the receipt. */
function publicError({ ended, redaction }: RecordParts): CompletedExecution['error'] {
  const { error } = ended.outcome;
  return error === null ? null : { code: error.code, message: redaction.message(error.message) };
}

function canDescribeItself(backend: ExecutionBackend): boolean {
  try {
    backend.describe();
    return true;
  } catch (error) {
    if (error instanceof GlasshouseError) return false;
    throw error;
  }
}

async function hashInherited(hash: InheritedHash | null): ReturnType<InheritedHash> {
  return hash === null ? null : hash();
}

function captured({ request, ended }: RecordParts, stream: 'stdout' | 'stderr'): CapturedStream | null {
  return request[stream] === 'capture' ? ended.capture.report(stream) : null;
}

/** What the program left or changed: an input file that came back as it went in is no output. */
function newFiles(request: ExecutionRequest, files: readonly OutputFile[]): readonly OutputFile[] {
  if (files.length === 0) return files;
  // Keyed by the bytes of the path: two names that differ must not become one by being decoded.
  const key = (path: string | Uint8Array): string => Buffer.from(path).toString('latin1');
  const given = new Map(request.inputFiles.map((file) => [key(file.path), sha256(file.content)]));
  if (request.program.kind === 'python') given.set(PYTHON_CODE_FILE, sha256(request.program.code));
  return files.filter((file) => file.sha256 === null || given.get(key(file.path)) !== file.sha256);
}

/** A receipt has room for so many names only; control characters in them cost six bytes each. */
function withinNameBudget(files: readonly OutputFile[]): readonly OutputFile[] {
  let left = NAME_BUDGET_BYTES;
  return files.filter((file) => {
    left -= file.path.length;
    return left >= 0;
  });
}

/** Receipt, store and answer know a file by one name; its bytes are the program's own and stay as they are. */
function withoutSecretNames(
  files: readonly OutputFile[],
  redaction: ExecutionRedaction,
): readonly OutputFile[] {
  return files.map((file) => {
    const { mode, sizeBytes, sha256: digest, omitted } = file;
    const path = textToBytes(redaction.path(textFromBytes(file.path)));
    return { path, mode, sizeBytes, sha256: digest, omitted, read: () => file.read() };
  });
}

/** Small files first come, first inlined, until the budget is used up. */
function inlineFiles(files: readonly OutputFile[], budgetBytes: number): readonly CompletedFile[] {
  let left = budgetBytes;
  return files.map((file) => {
    const { path, mode, sizeBytes, sha256: digest, omitted } = file;
    const fits = digest !== null && sizeBytes <= left;
    if (fits) left -= sizeBytes;
    return {
      path,
      mode,
      sizeBytes,
      sha256: digest,
      omitted,
      inline: fits ? Buffer.concat([...file.read()]) : null,
    };
  });
}
