import { type Redactor } from './redactor.js';

const LONGEST_TEXT = 65_536;

/**
 * A line of a JSON log without secrets, its line end kept: those inside texts, and texts whose key is a secret-looking
 * name. What is no JSON is taken as one text.
 */
export function redactLogLine(line: string, redactor: Redactor): string {
  const end = line.endsWith('\n') ? '\n' : '';
  const content = line.slice(0, line.length - end.length);
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError)) throw thrown;
    return redactor.string(content, LONGEST_TEXT) + end;
  }
  return JSON.stringify(withoutSecrets(parsed, redactor)) + end;
}

function withoutSecrets(value: unknown, redactor: Redactor): unknown {
  if (typeof value === 'string') return redactor.string(value, LONGEST_TEXT);
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, redactor));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      typeof member === 'string' && member !== '' && redactor.rules.names.has(name)
        ? redactor.mark(Buffer.from(member))
        : withoutSecrets(member, redactor),
    ]),
  );
}
