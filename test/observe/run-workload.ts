import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type Predicate } from '../../src/receipts/receipt.js';
import { MAIN, predicateOf } from '../cli/command-line.js';
import { type Workload } from './corpus.js';
import { comparable, compare, type Comparison, type Fact, factsOfReceipt } from './facts.js';
import { factsOfLog, STRACE_FLAGS } from './strace-log.js';

const TIMEOUT_MS = 300_000;

/** What the same workload did under strace and under Glasshouse. */
export interface Seen {
  readonly comparison: Comparison;
  readonly predicate: Predicate;
  readonly straceFacts: number;
  readonly receiptFacts: number;
}

/** A place for workloads: the same path for both runs of each, so that paths can be compared. */
export class Arena implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'glasshouse-observe-'));
  readonly #work = join(this.#directory, 'work');
  readonly #glasshouse: readonly string[];

  /** `options` of `glasshouse run`. */
  constructor(options: readonly string[] = []) {
    this.#glasshouse = [
      MAIN,
      'run',
      '--profile',
      'required',
      '--data-dir',
      join(this.#directory, 'data'),
      '--receipt',
      join(this.#directory, 'receipt.json'),
      ...options,
      '--',
    ];
  }

  /** Runs it twice, once under each. */
  see(workload: Workload): Seen {
    const straceFacts = comparable(this.underStrace(workload), workload);
    const predicate = this.underGlasshouse(workload);
    const { process_tree, filesystem, network } = predicate;
    if (filesystem === null || network === null) throw new Error(`${workload.name} was not observed`);
    const receiptFacts = comparable(factsOfReceipt(process_tree, filesystem, network), workload);
    return {
      comparison: compare(straceFacts, receiptFacts),
      predicate,
      straceFacts: straceFacts.size,
      receiptFacts: receiptFacts.size,
    };
  }

  underStrace(workload: Workload): Fact[] {
    this.#prepare(workload);
    const log = join(this.#directory, 'strace.log');
    this.#run('strace', [...STRACE_FLAGS, '-o', log, ...workload.argv]);
    return factsOfLog(readFileSync(log, 'latin1'), this.#work, workload.chroot ?? null);
  }

  underGlasshouse(workload: Workload): Predicate {
    this.#prepare(workload);
    const { status, stderr } = this.#run(process.execPath, [...this.#glasshouse, ...workload.argv]);
    if (status === 125) throw new Error(`${workload.name}: ${stderr}`);
    return predicateOf(join(this.#directory, 'receipt.json'));
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #prepare({ prepare, name }: Workload): void {
    rmSync(this.#work, { recursive: true, force: true });
    mkdirSync(this.#work);
    if (prepare === undefined) return;
    const { status, stderr } = this.#run('/bin/sh', ['-ec', prepare]);
    if (status !== 0) throw new Error(`${name} could not be prepared: ${stderr}`);
  }

  #run(
    program: string,
    args: readonly string[],
  ): { readonly status: number | null; readonly stderr: string } {
    const { status, stderr, error } = spawnSync(program, args, {
      cwd: this.#work,
      // Not the tests' own: neither TMPDIR nor a directory of wrappers in PATH may change what is opened.
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: this.#directory, LANG: 'C.UTF-8' },
      input: '',
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      maxBuffer: 64 * 1024 * 1024,
    });
    if (error !== undefined) throw error;
    return { status, stderr };
  }
}

/** Why the comparison cannot be made here; false when it can. */
export function cannotCompare(): string | false {
  const isThere = (program: string): boolean =>
    ['/usr/sbin', '/usr/bin', '/bin'].some((directory) => existsSync(join(directory, program)));
  const missing = ['strace', 'git', 'make', 'gcc', 'python3'].filter((program) => !isThere(program));
  return missing.length === 0 ? false : `not installed: ${missing.join(', ')}`;
}

/** Why the workload cannot be run here; false when it can. */
export function cannotRun({ privileged = false, needs = [] }: Workload): string | false {
  if (privileged && process.getuid?.() !== 0) return 'needs root';
  const missing = needs.filter((program) => !existsSync(program));
  return missing.length === 0 ? false : `not installed: ${missing.join(', ')}`;
}
