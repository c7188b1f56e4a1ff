import { type Termination } from '../backends/backend.js';
import { GlasshouseError } from '../base/errors.js';
import { type ExecutionStatus } from '../receipts/receipt.js';

/** Why we ended an execution that would have gone on. */
export type Interruption = 'timeout' | 'deadline' | 'output_limit' | 'canceled';

export interface Outcome {
  readonly status: ExecutionStatus;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly error: GlasshouseError | null;
}

/** What a shell answers for a command that it cannot start (POSIX.1-2017, 2.8.2). */
const EXIT_CODE_NOT_FOUND = 127;
const EXIT_CODE_NOT_EXECUTABLE = 126;

/** The outcome of a program that ran. The first cause wins: an interruption stands, however the program then ended. */
export function outcomeOf(termination: Termination, interruption: Interruption | null): Outcome {
  const ended = endOf(termination);
  if (interruption === null) return ended;
  if (interruption === 'deadline')
    return { ...ended, status: 'timeout', error: deadlineExceeded(ended.error) };
  return { ...ended, status: interruption };
}

function endOf(termination: Termination): Outcome {
  switch (termination.kind) {
    case 'exited': {
      const { exitCode } = termination;
      return { status: exitCode === 0 ? 'ok' : 'error', exitCode, signal: null, error: null };
    }
    case 'signaled':
      return { status: 'error', exitCode: null, signal: termination.signal, error: null };
    case 'out_of_memory':
      return { status: 'oom', exitCode: null, signal: 'SIGKILL', error: null };
    case 'lost':
      return { status: 'infra_error', exitCode: null, signal: null, error: termination.error };
  }
}

/** The outcome of a program that never ran. */
export function outcomeOfFailedStart(error: GlasshouseError, interruption: Interruption | null): Outcome {
  if (interruption === 'deadline')
    return { status: 'timeout', exitCode: null, signal: null, error: deadlineExceeded(error) };
  if (interruption !== null) return { status: interruption, exitCode: null, signal: null, error };
  switch (error.code) {
    case 'command_not_found':
      return { status: 'error', exitCode: EXIT_CODE_NOT_FOUND, signal: null, error };
    case 'command_not_executable':
      return { status: 'error', exitCode: EXIT_CODE_NOT_EXECUTABLE, signal: null, error };
    case 'limit_exceeded':
      return { status: 'error', exitCode: null, signal: null, error };
    default:
      return { status: 'infra_error', exitCode: null, signal: null, error };
  }
}

/** The program's own time was not over: what ran out was the time of the whole request. */
function deadlineExceeded(cause: GlasshouseError | null): GlasshouseError {
  return new GlasshouseError(
    'deadline_exceeded',
    'The deadline of the request passed; the wait and the start count too.',
    cause === null ? {} : { cause },
  );
}
