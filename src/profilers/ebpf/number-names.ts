import { constants } from 'node:os';

/** Errors inside the kernel that only a tracer sees: the call is made again, or becomes EINTR. */
const RESTARTS: Readonly<Record<number, string>> = {
  512: 'ERESTARTSYS',
  513: 'ERESTARTNOINTR',
  514: 'ERESTARTNOHAND',
  516: 'ERESTART_RESTARTBLOCK',
};
const FIRST_REAL_TIME_SIGNAL = 34;
const LAST_REAL_TIME_SIGNAL = 64;

const ERRORS = firstNames(constants.errno);
const SIGNALS = firstNames(constants.signals);

/** `ENOENT` for 2; `E999` for a number that has no name here. */
export function errorName(errno: number): string {
  return ERRORS.get(errno) ?? RESTARTS[errno]?.replaceAll('_', '') ?? `E${errno}`;
}

/** `SIGKILL` for 9, `SIGRTMIN+1` for 35. */
export function signalName(signal: number): string {
  const name = SIGNALS.get(signal);
  if (name !== undefined) return name;
  const isRealTime = signal >= FIRST_REAL_TIME_SIGNAL && signal <= LAST_REAL_TIME_SIGNAL;
  return isRealTime ? `SIGRTMIN+${signal - FIRST_REAL_TIME_SIGNAL}` : `SIG${signal}`;
}

/** Where a number has several names, the first. */
function firstNames(table: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const [name, number] of Object.entries(table)) if (!names.has(number)) names.set(number, name);
  return names;
}
