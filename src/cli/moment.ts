import { GlasshouseError } from '../base/errors.js';

const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
};

/** Milliseconds from `90s`, `30m`, `12h`, `7d` or `2w`. Throws `configuration_invalid`. */
export function parseAgeMs(text: string): number {
  const match = /^(\d{1,9})([smhdw])$/.exec(text);
  if (match === null) throw invalid(text, 'is no age; write for example 90s, 30m, 12h, 7d or 2w');
  return Number(match[1]) * (UNITS[match[2] ?? ''] ?? Number.NaN);
}

/**
 * A time as RFC 3339 in UTC, from a day (`2026-01-31`), a time (`2026-01-31T12:00:00Z`) or an age (`7d`: seven days
 * ago). Throws `configuration_invalid`.
 */
export function parseMoment(text: string, nowMs: number): string {
  if (/^\d{1,9}[smhdw]$/.test(text)) return new Date(nowMs - parseAgeMs(text)).toISOString();
  const isTime = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/.test(
    text,
  );
  const milliseconds = isTime ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(milliseconds))
    throw invalid(text, 'is no time; write for example 2026-01-31, 2026-01-31T12:00:00Z or 7d');
  return new Date(milliseconds).toISOString();
}

/** Bytes from `1000`, `500K`, `20M`, `10G` or `1T`, in powers of 1,024. Throws `configuration_invalid`. */
export function parseSizeBytes(text: string): number {
  const match = /^(\d{1,12})([KMGT]?)$/.exec(text);
  const bytes = Number(match?.[1] ?? Number.NaN) * (SIZE_UNITS[match?.[2] ?? ''] ?? Number.NaN);
  if (!Number.isSafeInteger(bytes)) throw invalid(text, 'is no size; write for example 500M or 10G');
  return bytes;
}

function invalid(text: string, problem: string): GlasshouseError {
  return new GlasshouseError('configuration_invalid', `${JSON.stringify(text.slice(0, 80))} ${problem}.`);
}
