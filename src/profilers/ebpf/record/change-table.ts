import {
  type Deeds,
  type FileChange,
  type FileChangeKind,
  type FileDeletion,
  type FileFailure,
  type FileFailureKind,
  type FileRename,
} from '../../../receipts/observed.js';
import { type Text, textFromBytes } from '../../../receipts/text.js';
import { type FileOperation, isExchange, operationOf, valueOf } from '../file-operation.js';
import { errorName } from '../number-names.js';
import { type Changed, type Head, type OpenFailed, type OpenFailedSum } from '../observer-message.js';
import { marksOf, resolveOperand } from '../resolve-path.js';
import { type Budget } from './budget.js';
import { Doers, Entries } from './doers.js';
import { type ProcessTable } from './process-table.js';

interface Entry<Facts> {
  readonly facts: Facts;
  readonly doers: Doers;
}

type Facts<T extends Deeds> = Omit<T, keyof Deeds>;

/** Entries that are equal but for who did it, and how often. */
class DeedList<T extends Deeds> {
  readonly #category: string;
  readonly #budget: Budget;
  readonly #entries = new Entries<Entry<Facts<T>>>();

  constructor(category: string, budget: Budget) {
    this.#category = category;
    this.#budget = budget;
  }

  add(id: number | null, facts: Facts<T>, ...texts: readonly (Text | null)[]): void {
    const entry = this.#entries.get(JSON.stringify(facts), () =>
      this.#budget.takeEntry(this.#category, ...texts) ? { facts, doers: new Doers() } : null,
    );
    entry?.doers.add(id, 1, this.#budget);
  }

  /**
   * For facts that are made only when they are new: there may be millions that have no room. `key`: of one text of so
   * many bytes and all else.
   */
  find(key: string, textBytes: number, make: () => readonly [Facts<T>, Text]): Doers | null {
    const entry = this.#entries.get(key, () => {
      if (!this.#budget.mayTakeEntry(this.#category, textBytes)) return null;
      const [facts, text] = make();
      return this.#budget.takeEntry(this.#category, text) ? { facts, doers: new Doers() } : null;
    });
    return entry?.doers ?? null;
  }

  record(): (Facts<T> & Deeds)[] {
    return this.#entries.values().map(({ facts, doers }) => ({ ...facts, ...doers.record() }));
  }
}

/** Changes of names and attributes, and what failed. */
export class ChangeTable {
  readonly #budget: Budget;
  readonly #processes: ProcessTable;
  readonly #deletes: DeedList<FileDeletion>;
  readonly #renames: DeedList<FileRename>;
  readonly #changes: DeedList<FileChange>;
  readonly #failures: DeedList<FileFailure>;

  constructor(budget: Budget, processes: ProcessTable) {
    this.#budget = budget;
    this.#processes = processes;
    this.#deletes = new DeedList('deletes', budget);
    this.#renames = new DeedList('renames', budget);
    this.#changes = new DeedList('changes', budget);
    this.#failures = new DeedList('failures', budget);
  }

  failOpen(message: OpenFailed): void {
    this.#fail(message, 'open', message.operand, message.errno);
  }

  /** `ids`: of the doers, by place. */
  failOpens({ path, errno, shares }: OpenFailedSum, ids: readonly (number | null)[]): void {
    this.#failure('open', path.bytes, path.flags, errno)?.addShares(shares, ids, this.#budget);
  }

  change(message: Changed): void {
    const operation = operationOf(message);
    if (operation === null) return;
    if (message.errno !== 0) this.#fail(message, failureOf(operation), message.operand, message.errno);
    else this.#succeed(message, operation);
  }

  record(): {
    readonly deletes: readonly FileDeletion[];
    readonly renames: readonly FileRename[];
    readonly changes: readonly FileChange[];
    readonly failures: readonly FileFailure[];
  } {
    return {
      deletes: this.#deletes.record(),
      renames: this.#renames.record(),
      changes: this.#changes.record(),
      failures: this.#failures.record(),
    };
  }

  #succeed(message: Changed, operation: FileOperation): void {
    const id = this.#processes.idOf(message);
    const subject = resolveOperand(message.operand);
    const path = textFromBytes(subject.bytes);
    switch (operation) {
      case 'rename': {
        const goal = resolveOperand(message.second);
        const to = textFromBytes(goal.bytes);
        const { operand, second } = message;
        const marks = marksOf(
          operand.directory.flags | operand.name.flags | second.directory.flags | second.name.flags,
        );
        this.#renames.add(id, { from: path, to, marks, exchange: isExchange(message) }, path, to);
        return;
      }
      case 'delete':
      case 'delete_directory': {
        const directory = operation === 'delete_directory';
        this.#deletes.add(id, { path, marks: subject.marks, directory }, path);
        return;
      }
      case 'chdir':
        return;
      default:
        this.#alter(message, operation);
    }
  }

  #alter(message: Changed, operation: FileChangeKind): void {
    // A link is made where its new name is; what it leads to is the operand that was there before.
    const isLink = operation === 'link';
    const subject = resolveOperand(isLink ? message.second : message.operand);
    const path = textFromBytes(subject.bytes);
    const target = targetOf(message, operation);
    const value = valueOf(operation, message.detail);
    const facts = { operation, path, target, value, marks: subject.marks };
    this.#changes.add(this.#processes.idOf(message), facts, path, target);
  }

  #fail(head: Head, operation: FileFailureKind, operand: Changed['operand'], errno: number): void {
    const { directory, name } = operand;
    const doers = this.#failure(
      operation,
      resolveOperand(operand).bytes,
      directory.flags | name.flags,
      errno,
    );
    doers?.add(this.#processes.idOf(head), 1, this.#budget);
  }

  /** `flags`: PATH_FLAGS. */
  #failure(operation: FileFailureKind, bytes: Buffer, flags: number, errno: number): Doers | null {
    const key = `${operation} ${errno} ${flags}\0${bytes.toString('latin1')}`;
    return this.#failures.find(key, bytes.length, () => {
      const path = textFromBytes(bytes);
      return [{ operation, path, marks: marksOf(flags), error: errorName(errno) }, path];
    });
  }
}

function failureOf(operation: FileOperation): FileFailureKind {
  return operation === 'delete_directory' ? 'delete' : operation;
}

function targetOf(message: Changed, operation: FileChangeKind): Text | null {
  if (operation === 'symlink') return textFromBytes(message.second.name.bytes);
  return operation === 'link' ? textFromBytes(resolveOperand(message.operand).bytes) : null;
}
