const SIZES = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1 byte`, `12 bytes`, `3.4 MiB`. */
export function bytesForPeople(bytes: number): string {
  if (bytes === 1) return '1 byte';
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), SIZES.length - 1);
  const amount = bytes / 1024 ** power;
  return `${power === 0 ? amount : amount.toFixed(1)} ${SIZES[power] ?? ''}`;
}

/** Of microseconds: `340 us`, `12.3 ms`, `4.56 s`. */
export function microsecondsForPeople(microseconds: number): string {
  if (microseconds < 1_000) return `${microseconds} us`;
  if (microseconds < 1_000_000) return `${(microseconds / 1_000).toFixed(1)} ms`;
  return `${(microseconds / 1_000_000).toFixed(2)} s`;
}
