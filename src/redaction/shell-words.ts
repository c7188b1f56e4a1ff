import { type Span } from './span.js';

/** One word of a command line that stands inside a text, without the quotes around it. */
export interface Word extends Span {
  readonly text: string;
}

const WORD = /(?:"(?:[^"\\]|\\[^])*"?|'[^']*'?|\\[^]|[^\s"'\\;|&])+|[;|&\n]/g;

const QUOTED = /"(?:[^"\\]|\\[^])*"|'[^']*'/g;

/**
 * Splits as a shell does, roughly: it is about finding values of flags, not about running anything. Separators of
 * commands are words of their own.
 */
export function shellWords(text: string): Word[] {
  return Array.from(text.matchAll(WORD), ({ 0: raw, index }) => {
    const quoted = raw.length >= 2 && /^["']/.test(raw) && raw.endsWith(raw.charAt(0)) ? 1 : 0;
    const start = index + quoted;
    const end = index + raw.length - quoted;
    return { text: text.slice(start, end), start, end };
  });
}

/** What stands in quotes in a word of `text`; the word may go on after them. */
export function quotedParts(text: string, { start, end }: Span): Word[] {
  const from = '"\'\\'.includes(text[start - 1] ?? ' ') ? start - 1 : start;
  const raw = text.slice(from, end + 1);
  return Array.from(raw.matchAll(QUOTED), (match) => {
    const at = from + match.index + 1;
    const inner = match[0].slice(1, -1);
    return { text: inner, start: at, end: at + inner.length };
  });
}

export function isSeparator({ text }: Word): boolean {
  return /^[;|&\n]$/.test(text);
}
