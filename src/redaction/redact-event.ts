import { type Text } from '../receipts/text.js';
import { type TextRedaction } from './redact-observed.js';

const LONGEST_TEXT = 65_536;
/** Words of ours, which a secret that happens to be the same must not replace; every other text is somebody else's. */
const OURS: ReadonlySet<string> = new Set([
  'event',
  'how',
  'access',
  'flags',
  'marks',
  'operation',
  'family',
  'protocol',
  'error',
  'signal',
  'call',
  'result',
  'args',
]);

/** One observed event as it is shown while the program runs: without what its receipt will not have either. */
export function redactEvent<T extends Readonly<Record<string, unknown>>>(
  event: T,
  redaction: TextRedaction,
): T {
  return withoutSecrets(event, redaction) as T;
}

function withoutSecrets(value: unknown, redaction: TextRedaction): unknown {
  if (isText(value)) return redaction.text(value, LONGEST_TEXT);
  if (Array.isArray(value)) {
    return value.every(isText)
      ? redaction.arguments(value)
      : value.map((item) => withoutSecrets(item, redaction));
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      OURS.has(name) ? member : withoutSecrets(member, redaction),
    ]),
  );
}

function isText(value: unknown): value is Text {
  if (typeof value === 'string') return true;
  if (typeof value !== 'object' || value === null) return false;
  return Object.keys(value).length === 1 && 'base64' in value && typeof value.base64 === 'string';
}
