import { randomInt } from 'node:crypto';

/** Numeric users that no account and no container manager hands out (systemd uses up to 1,879,048,191). */
const FIRST_UID = 1_900_000_000;
const UID_COUNT = 100_000_000;

/** A user, and a group of the same number, that owns nothing; for one virtual machine. */
export function freshUser(): number {
  return FIRST_UID + randomInt(UID_COUNT);
}
