import { GlasshouseError } from '../base/errors.js';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** setTimeout() takes no more (2^31 - 1 ms, about 24 days). */
const LONGEST_MS = 2_147_483_647;

/** Milliseconds from `500ms`, `30s`, `1.5m`, `2h` or plain seconds. Throws `configuration_invalid`. */
export function parseDurationMs(text: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)?$/.exec(text);
  const unit = UNITS[match?.[2] ?? 's'] ?? Number.NaN;
  const milliseconds = Math.round(Number(match?.[1] ?? Number.NaN) * unit);
  if (!(milliseconds >= 1 && milliseconds <= LONGEST_MS)) {
    throw new GlasshouseError(
      'configuration_invalid',
      `${JSON.stringify(text)} is not a duration; write for example 500ms, 30s, 5m or 1h.`,
    );
  }
  return milliseconds;
}
