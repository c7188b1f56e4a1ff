import { type MachineShape } from '../vm/machine.js';
import { type RateLimiter, type TokenBucket } from './api-actions.js';

const MIB = 1024 * 1024;
/** A guest that boots does not wait, nor does a program that fills its workspace in large pieces and reads it back. */
const BURST_SECONDS = 2;
/** A guest's kernel needs some hundred bytes, and a program shall not keep the host's random generator busy. */
const ENTROPY_BYTES_PER_CPU = 65_536;
/** Several times what one CPU asks for when it does nothing else but wait for a fast disk. */
const REQUESTS_PER_CPU = 20_000;

export interface DeviceRates {
  readonly root: RateLimiter;
  readonly workspace: RateLimiter;
  readonly entropy: TokenBucket;
}

/**
 * How much a machine may ask of its devices in the long run, from how large it is: each second the whole workspace, and of
 * the root image as much as fits into the guest's memory. A bucket holds what two seconds bring, and one that was not used
 * for as long can be emptied twice in a row.
 */
export function deviceRates({ memoryMb, diskMb, cpus }: MachineShape): DeviceRates {
  const ops = perSecond(cpus * REQUESTS_PER_CPU);
  return {
    root: { bandwidth: perSecond(memoryMb * MIB), ops },
    workspace: { bandwidth: perSecond(diskMb * MIB), ops },
    entropy: perSecond(cpus * ENTROPY_BYTES_PER_CPU),
  };
}

function perSecond(tokens: number): TokenBucket {
  return { size: tokens * BURST_SECONDS, refill_time: BURST_SECONDS * 1000 };
}
