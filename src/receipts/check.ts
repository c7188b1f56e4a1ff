import { type ErrorCode, GlasshouseError } from '../base/errors.js';

/** The checks that a valid receipt passes, in the order in which they are made. */
export const REQUIRED_CHECKS = [
  'format',
  'trusted_key',
  'signature',
  'canonical_payload',
  'statement_schema',
  'consistency',
] as const;

/** Checks of a receipt's place in the log. */
export type LogCheckName =
  | 'log_entry'
  | 'log_time'
  | 'log_inclusion'
  | 'log_checkpoint'
  | 'log_consistency'
  | 'old_checkpoint'
  | 'new_checkpoint';

export type CheckName =
  | (typeof REQUIRED_CHECKS)[number]
  | LogCheckName
  | 'receipt_id'
  | 'expected_id'
  | 'subject'
  | 'output_bytes'
  | 'clock'
  | 'host_truthfulness'
  | 'completeness'
  | 'log_forks';

export interface Check {
  readonly name: CheckName;
  readonly outcome: 'passed' | 'failed' | 'not_checked';
  /** Why it failed, for programs; null unless it did. */
  readonly code: ErrorCode | null;
  /** For people: what it proves, what is wrong, or why it was not made. Printable ASCII. */
  readonly detail: string;
}

/** Collects the checks of one verification. */
export class Checklist {
  readonly #checks: Check[] = [];

  get checks(): readonly Check[] {
    return this.#checks;
  }

  get hasFailure(): boolean {
    return this.#checks.some(({ outcome }) => outcome === 'failed');
  }

  passed(name: CheckName, detail: string): void {
    this.#checks.push({ name, outcome: 'passed', code: null, detail });
  }

  failed(name: CheckName, code: ErrorCode, detail: string): void {
    this.#checks.push({ name, outcome: 'failed', code, detail });
  }

  notChecked(name: CheckName, detail: string): void {
    this.#checks.push({ name, outcome: 'not_checked', code: null, detail });
  }

  /** Takes the first that has been found wrong, if anything has. */
  judge(name: CheckName, success: string, failure: Failure | null): boolean {
    if (failure === null) this.passed(name, success);
    else this.failed(name, failure.code, failure.detail);
    return failure === null;
  }

  /** Makes one step; a GlasshouseError is its failure, under its code unless `code` is given; anything else a defect. */
  attempt<T>(name: CheckName, success: string, step: () => T, code?: ErrorCode): T | null {
    try {
      const result = step();
      this.passed(name, success);
      return result;
    } catch (thrown) {
      if (!(thrown instanceof GlasshouseError)) throw thrown;
      this.failed(name, code ?? thrown.code, thrown.message);
      return null;
    }
  }
}

export interface Failure {
  readonly code: ErrorCode;
  readonly detail: string;
}

/** The failure, if it is one. */
export function failureIf(wrong: boolean, code: ErrorCode, detail: string): Failure | null {
  return wrong ? { code, detail } : null;
}
