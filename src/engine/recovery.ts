import { type ErrorCode, GlasshouseError } from '../base/errors.js';
import { isAlive } from '../base/process-identity.js';
import { type Execution, type Predicate, type Request } from '../receipts/receipt.js';
import { redactedFieldsOf } from '../receipts/redaction-marks.js';
import { type Signer } from '../receipts/signer.js';
import { buildStatement, signStatement } from '../receipts/statement.js';
import { type BegunExecution, type ReceiptStore } from '../receipts/store.js';
import { type ReceiptWriter } from '../receipts/store-writer.js';
import { type Redactor } from '../redaction/redactor.js';
import { environmentRecord } from './record.js';

const ERROR: ErrorCode = 'owner_died';
const EXPLANATION =
  'The Glasshouse process that ran this execution is gone and left no receipt; nothing is known of how it ended.';

export interface RecoveryOptions {
  readonly store: ReceiptStore;
  readonly writer: ReceiptWriter;
  readonly signer: Signer;
  readonly redactor: Redactor;
  /** Ends what an execution left running on this machine, if anything. */
  readonly killLeftovers: (executionId: string) => Promise<void>;
}

/**
 * Closes the executions whose Glasshouse process died in mid-run: ends what is left of them and gives each a
 * receipt with `infra_error`. Returns their ids. Safe to run in several processes at once.
 */
export async function recoverUnfinished(options: RecoveryOptions): Promise<readonly string[]> {
  const recovered: string[] = [];
  for (const begun of options.store.unfinished()) {
    if (isAlive(begun.owner)) continue;
    await options.killLeftovers(begun.executionId);
    if (await closeExecution(options, begun)) recovered.push(begun.executionId);
  }
  return recovered;
}

/** False when another process was faster. */
async function closeExecution(
  { store, writer, signer, redactor }: RecoveryOptions,
  begun: BegunExecution,
): Promise<boolean> {
  const statement = buildStatement(predicateOf(begun, redactor));
  const receipt = await signStatement(statement, signer);
  try {
    await writer.write({ receipt, statement, outputs: { stdout: null, stderr: null, files: [] } });
    return true;
  } catch (error) {
    if (error instanceof GlasshouseError && store.getByExecution(begun.executionId) !== null) return false;
    throw error;
  }
}

/**
 * Says only what is known: what was asked for, and that nobody saw how it ended. What was stored at the start had lost
 * its secrets before.
 */
function predicateOf(begun: BegunExecution, redactor: Redactor): Predicate {
  const predicate: Predicate = {
    version: 1,
    execution_id: begun.executionId,
    provenance: 'none',
    timestamp: begun.startedAt,
    finished_at: new Date(Math.max(Date.now(), Date.parse(begun.startedAt))).toISOString(),
    request: JSON.parse(begun.request) as Request,
    outcome: {
      status: 'infra_error',
      exit_code: null,
      signal: null,
      error: { code: ERROR, message: EXPLANATION },
    },
    timing: { queue_ms: 0, boot_ms: 0, run_ms: 0, boot_stages: {} },
    resources: null,
    execution: JSON.parse(begun.execution) as Execution,
    process_tree: [],
    filesystem: null,
    network: null,
    syscalls: null,
    observation: { level: 'none', reason: EXPLANATION, events: 0, dropped: {} },
    environment: environmentRecord(),
    artifacts: {
      stdout_sha256: null,
      stdout_bytes: null,
      stdout_complete: false,
      stderr_sha256: null,
      stderr_bytes: null,
      stderr_complete: false,
      streams_combined: false,
      files: [],
      files_complete: false,
    },
  };
  return { ...predicate, redaction: { key_id: redactor.keyId, fields: redactedFieldsOf(predicate) } };
}
