import { malformed } from './problem.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);

/** More than the largest valid request has: 1,000 arguments, 1,000 variables and 1,000 files of four members. */
const MOST_VALUES = 10_000;
const DEEPEST = 16;

/**
 * Parses a JSON body (RFC 8259): UTF-8 and nothing else. Structure is bounded before it is parsed, because
 * 32 MiB of brackets would otherwise become gigabytes of objects.
 * @throws ProblemError with status 400.
 */
export function parseJsonBody(bytes: Uint8Array): unknown {
  checkStructure(bytes);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw malformed('The body is not valid UTF-8.', { cause: error });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw malformed('The body is not valid JSON.', { cause: error });
  }
}

function checkStructure(bytes: Uint8Array): void {
  let depth = 0;
  let values = 0;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index] ?? 0;
    if (byte === QUOTE) index = endOfString(bytes, index);
    else if (OPENING.has(byte)) {
      depth += 1;
      values += 1;
    } else if (CLOSING.has(byte)) depth -= 1;
    else if (byte === COMMA) values += 1;
    if (depth > DEEPEST) throw malformed('The body is nested too deeply.');
    if (values > MOST_VALUES) throw malformed('The body has too many members and elements.');
  }
}

/** Index of the quote that ends the string that starts at `start`; the end of the bytes if none does. */
function endOfString(bytes: Uint8Array, start: number): number {
  let quote = bytes.indexOf(QUOTE, start + 1);
  while (quote !== -1 && isEscaped(bytes, quote)) quote = bytes.indexOf(QUOTE, quote + 1);
  return quote === -1 ? bytes.length : quote;
}

function isEscaped(bytes: Uint8Array, index: number): boolean {
  let backslashes = 0;
  while (bytes[index - 1 - backslashes] === BACKSLASH) backslashes += 1;
  return backslashes % 2 === 1;
}
