import { type Doers, type FileSum, type Head, type OpenFailedSum } from './observer-message.js';
import { type PayloadReader, violation } from './payload-reader.js';

/** docs/observer-link.md, "Gathering". */
const MAX_DOERS = 1_024;
const MAX_SHARES = 4_096;

export function decodeDoers(reader: PayloadReader): Doers {
  const events = reader.u32();
  reader.u32();
  const heads: Head[] = [];
  while (reader.left > 0) heads.push(reader.head());
  if (heads.length > MAX_DOERS) throw violation(`${heads.length} doers`);
  return { type: 'doers', events, heads };
}

export function decodeFileSum(reader: PayloadReader): FileSum {
  const flags = reader.u32();
  return {
    type: 'file_sum',
    wasRead: (flags & 1) !== 0,
    wasWritten: (flags & 2) !== 0,
    wasCreated: (flags & 4) !== 0,
    isRegular: (flags & 8) !== 0,
    bytesRead: reader.count(),
    bytesWritten: reader.count(),
    path: reader.path(),
    shares: decodeShares(reader),
  };
}

export function decodeOpenFailedSum(reader: PayloadReader): OpenFailedSum {
  return { type: 'open_failed_sum', errno: reader.u32(), path: reader.path(), shares: decodeShares(reader) };
}

function decodeShares(reader: PayloadReader): number[] {
  const shares: number[] = [];
  while (reader.left > 0) shares.push(reader.u32(), reader.u32());
  const count = shares.length / 2;
  if (count === 0 || count > MAX_SHARES) throw violation(`${count} shares of a sum`);
  return shares;
}
