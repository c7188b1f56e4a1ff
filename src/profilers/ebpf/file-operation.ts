import { type FileChangeKind } from '../../receipts/observed.js';
import { type Changed } from './observer-message.js';

export type FileOperation = FileChangeKind | 'rename' | 'delete' | 'delete_directory' | 'chdir';

/** By number: docs/observer-link.md, "74 change". */
const OPERATIONS: readonly FileOperation[] = [
  'rename',
  'delete',
  'delete_directory',
  'mkdir',
  'link',
  'symlink',
  'chmod',
  'chown',
  'truncate',
  'mknod',
  'set_times',
  'set_xattr',
  'chroot',
  'chdir',
];
const RENAME_EXCHANGE = 2n;
const PERMISSION_BITS = 0o7777n;

/** Null for one that only a later version of the observer knows. */
export function operationOf({ operation }: Changed): FileOperation | null {
  return OPERATIONS[operation - 1] ?? null;
}

export function isExchange({ detail }: Changed): boolean {
  return (detail & RENAME_EXCHANGE) !== 0n;
}

/** The mode, owner or length that a call asked for, as the receipt has it; null where there is none. */
export function valueOf(operation: FileOperation, detail: bigint): string | null {
  switch (operation) {
    case 'mkdir':
    case 'chmod':
    case 'mknod':
      return `0${(detail & PERMISSION_BITS).toString(8).padStart(3, '0')}`;
    case 'chown':
      return `${BigInt.asIntN(32, detail)}:${BigInt.asIntN(32, detail >> 32n)}`;
    case 'truncate':
      return detail.toString();
    default:
      return null;
  }
}
